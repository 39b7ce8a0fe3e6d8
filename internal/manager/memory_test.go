package manager

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestBoundMemory(t *testing.T) {
	was := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(was) })
	for name, tt := range map[string]struct {
		limit, own string
		want       int64
		fails      bool
	}{
		"without a container nothing is bounded":    {want: math.MaxInt64},
		"nine tenths of the limit of the container": {limit: "268435400", want: 241591860},
		"$GOMEMLIMIT counts more":                   {limit: "268435456", own: "1GiB", want: math.MaxInt64},
		"what is no number is an error":             {limit: "256Mi", want: math.MaxInt64, fails: true},
		"a limit of nothing is an error":            {limit: "0", want: math.MaxInt64, fails: true},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		t.Setenv(memoryLimitEnv, tt.limit)
		t.Setenv("GOMEMLIMIT", tt.own)
		err := BoundMemory()
		if got := debug.SetMemoryLimit(-1); got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: got a limit of %d and error %v, want %d and an error: %v", name, got, err, tt.want, tt.fails)
		}
	}
}
