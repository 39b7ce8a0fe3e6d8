package procstat

import (
	"os"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	line := "42 (speaker) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 100 1000000 8 18446744073709551615\n"
	pid, u, err := Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	if pid != 42 || u.Processor.Milliseconds() != 2000 || u.Resident == 0 {
		t.Errorf("got process %d with %+v, want 42 with 2 s of a processor", pid, u)
	}
	if _, _, err := Parse("42 (speaker) S 1"); err == nil {
		t.Error("a line that ends too early: got no error, want one")
	}
}

func TestRead(t *testing.T) {
	u, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if ago := time.Since(u.Started); u.Resident < 1<<20 || ago < -time.Second || ago > time.Hour {
		t.Errorf("got %+v of this process, started %s ago", u, ago)
	}
}
