package controlplane

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// maxLogLines is the maximum number of log lines in an error about a program.
const maxLogLines = 15

// childProcess is a program that this process has started. It may have ended.
type childProcess struct {
	name string
	log  string // path of the file with the program's output
	from int64  // offset in the file at which the output of this run begins
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // of cmd.Wait; read it only after done is closed
}

// startProcess starts a program in dir. The output of the program is appended to NAME.log
// in dir. The kernel kills the program when this process ends.
func startProcess(dir, name, binary string, args ...string) (*childProcess, error) {
	logPath := filepath.Join(dir, name+".log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close() // the child has its own copy
	info, err := log.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the size of the log of %s: %w", name, err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // Ctrl-C in a terminal goes only to the test, which then stops its programs
	}
	p := &childProcess{name: name, log: logPath, from: info.Size(), cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.runChild(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// runChild starts the child and waits for its end, both on one thread. The kernel kills
// the child when the thread that started it ends, even if this process continues
// (PR_SET_PDEATHSIG), so the thread must exist as long as the child.
func (p *childProcess) runChild(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// hasEnded reports whether the child has ended.
func (p *childProcess) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop kills the child and waits for its end. It returns an error if the child had already
// ended. There is no graceful shutdown, since tests need an outage at once. A kill loses no
// data: everything that etcd has written is in the kernel's page cache.
func (p *childProcess) stop() error {
	if p.hasEnded() {
		return p.errorWithLog(errors.New("ended by itself"))
	}
	err := p.cmd.Process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// errorWithLog returns an error with the cause, the state of the child, and the last lines of
// its log.
func (p *childProcess) errorWithLog(cause error) error {
	state := "still running"
	if p.hasEnded() {
		state = p.cmd.ProcessState.String()
	}
	return fmt.Errorf("%s (%s): %w; the last lines of its log:\n%s", p.name, state, cause, p.lastLogLines())
}

// lastLogLines returns the last lines of this run's log.
func (p *childProcess) lastLogLines() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	run := text[min(p.from, int64(len(text))):]
	lines := strings.Split(strings.TrimRight(string(run), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-maxLogLines):], "\n")
}
