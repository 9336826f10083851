package connect

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/cmd/noecho/internal/config"
)

// certificate makes a self-signed one for 127.0.0.1 and the name broker.test, and returns its files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"broker.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}

// ping connects with what Options made of c and asks the broker something.
func ping(t *testing.T, c config.Config) error {
	t.Helper()
	opts, err := Options(&c)
	require.NoError(t, err)
	client, err := kgo.NewClient(append(opts, kgo.RequestRetries(0), kgo.RetryTimeout(3*time.Second))...)
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return client.Ping(ctx)
}

func cluster(t *testing.T, opts ...kfake.Opt) config.Config {
	t.Helper()
	k, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	require.NoError(t, err)
	t.Cleanup(k.Close)
	c := config.Default()
	c.Brokers = k.ListenAddrs()
	return c
}

func TestPlainText(t *testing.T) { require.NoError(t, ping(t, cluster(t))) }

func TestTLS(t *testing.T) {
	certFile, keyFile := certificate(t)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	text, err := os.ReadFile(certFile)
	require.NoError(t, err)
	require.True(t, pool.AppendCertsFromPEM(text))
	base := cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}))

	c := base
	c.TLSCA = certFile
	require.NoError(t, ping(t, c), "the CA vouches for the broker")
	c.TLSCert, c.TLSKey = certFile, keyFile
	require.NoError(t, ping(t, c), "with a client certificate")
	c.TLSServerName = "broker.test"
	require.NoError(t, ping(t, c), "under another name")
	c.TLSServerName = "other.test"
	require.Error(t, ping(t, c), "a certificate for somebody else")
	c = base
	c.TLS = true
	require.Error(t, ping(t, c), "an unknown CA")
	c.TLSInsecureSkipVerify = true
	require.NoError(t, ping(t, c))
}

func TestSASL(t *testing.T) {
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(m, func(t *testing.T) {
			c := cluster(t, kfake.EnableSASL(), kfake.Superuser(m, "ada", "right"))
			c.SASLMechanism, c.SASLUsername, c.SASLPassword = m, "ada", "right"
			require.NoError(t, ping(t, c))
			c.SASLPassword = "wrong"
			require.Error(t, ping(t, c))
		})
	}
}

func TestFilesThatAreNotCertificates(t *testing.T) {
	cert, key := certificate(t)
	c := config.Default()
	c.TLSCA = key
	_, err := Options(&c)
	require.ErrorContains(t, err, "there is no PEM certificate in "+key)
	c = config.Default()
	c.TLSCert, c.TLSKey = cert, cert
	_, err = Options(&c)
	require.ErrorContains(t, err, "do not make a pair")
}

func TestPasswordInClear(t *testing.T) {
	c := config.Config{SASLMechanism: "PLAIN"}
	require.True(t, PasswordInClear(&c))
	c.TLS = true
	require.False(t, PasswordInClear(&c))
	require.False(t, PasswordInClear(&config.Config{SASLMechanism: "SCRAM-SHA-512"}), "only proofs cross the network")
}
