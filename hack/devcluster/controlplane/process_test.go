package controlplane

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"go.uber.org/goleak"
)

// parentVariable makes this test program the parent of a child that it leaves
// behind, with its files in the directory that the variable names.
const parentVariable = "LBSTACK_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		p, err := startProcess(dir, "child", "sleep", "600")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(p.cmd.Process.Pid)
		<-p.done
	}
	goleak.VerifyTestMain(m)
}

func TestChildrenDieWithAKilledParent(t *testing.T) {
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"="+t.TempDir())
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the parent names no child: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("opening the child %d: %v", pid, err)
	}
	defer unix.Close(child)
	if endsWithin(t, child, 0) {
		t.Fatal("the child has ended before its parent")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !endsWithin(t, child, 10_000) {
		t.Error("the child outlives its parent by 10 s")
	}
	var exit *exec.ExitError
	if err := parent.Wait(); !errors.As(err, &exit) {
		t.Errorf("the parent: got %v, want it killed", err)
	}
}

// endsWithin returns whether the process ends within some milliseconds.
func endsWithin(t *testing.T, pidfd, milliseconds int) bool {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, milliseconds)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("waiting for the child: %v", err)
		}
		return n > 0
	}
}

func TestStopOfAChildThatEndedQuotesItsLog(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "child.log"), []byte("words of an earlier run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(dir, "child", "sh", "-c", "echo last words; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	err = p.stop()
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "last words") {
		t.Errorf("got error %v, want one with the exit status and the log", err)
	}
	if strings.Contains(err.Error(), "earlier run") {
		t.Errorf("got error %v, want none of an earlier run's log", err)
	}
}

func TestFreePortsAreOutOfTheKernelsWay(t *testing.T) {
	got, err := freePort()
	if err != nil || got < firstPort || got > lastPort {
		t.Errorf("got %d, %v, want a port from %d to %d", got, err, firstPort, lastPort)
	}
}
