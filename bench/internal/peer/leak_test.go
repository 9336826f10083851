package peer

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain: Watermill's map cleans itself for ever, and cannot be closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/message/router/middleware.(*mapExpiringKeyRepository).cleanOutLoop"))
}
