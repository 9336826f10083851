package connect_test

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/cmd/noecho/internal/config"
	"noecho/cmd/noecho/internal/connect"
)

func Example() {
	c := config.Default()
	c.Brokers = []string{"broker-1:9093", "broker-2:9093"}
	c.TLS = true
	c.SASLMechanism, c.SASLUsername, c.SASLPassword = "SCRAM-SHA-512", "noecho", "from NOECHO_SASL_PASSWORD"
	opts, err := connect.Options(&c)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(kgo.ValidateOpts(opts...), connect.PasswordInClear(&c))
	// Output: <nil> false
}
