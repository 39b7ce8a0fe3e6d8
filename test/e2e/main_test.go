package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/lbstack/lbstack/test/scenario"
)

// bed is the cluster that `make cluster` brought up. The tests use the cluster one after
// the other. Each test applies what it needs, and leaves no Service.
var bed *scenario.Scenario

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	s, err := scenario.Open(ctx)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bed = s
	os.Exit(m.Run())
}
