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

// logTail is how many lines of its log an error about a program contains.
const logTail = 15

// childProcess is a running child.
type childProcess struct {
	name string
	log  string // path of its output
	from int64  // where in the log the output of this run begins
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // of cmd.Wait; read it only after done is closed
}

// startProcess starts a program in dir and appends its output to NAME.log
// there. The kernel kills it when this process ends.
func startProcess(dir, name, binary string, args ...string) (*childProcess, error) {
	logPath := filepath.Join(dir, name+".log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close() // the child has its own copy
	info, err := log.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at the log of %s: %w", name, err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // Ctrl-C in a terminal goes to the test, which then stops its programs
	}
	p := &childProcess{name: name, log: logPath, from: info.Size(), cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.runChild(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// runChild starts the child and waits for its end on one thread: PR_SET_PDEATHSIG
// kills the child when the thread that started it ends, not the process.
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

// stop kills the child and waits for its end. There is no graceful shutdown:
// tests need an outage at once, nothing else uses the data, and what etcd has
// written is safe in the kernel. It fails if the child had already ended.
func (p *childProcess) stop() error {
	if p.hasEnded() {
		return p.endError(errors.New("ended by itself"))
	}
	err := p.cmd.Process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// endError returns an error with the cause, how the child ended, and the end of
// its log.
func (p *childProcess) endError(cause error) error {
	state := "still running"
	if p.hasEnded() {
		state = p.cmd.ProcessState.String()
	}
	return fmt.Errorf("%s (%s): %w; its last lines:\n%s", p.name, state, cause, p.logTailLines())
}

// logTailLines returns the last lines of this run's log.
func (p *childProcess) logTailLines() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	run := text[min(p.from, int64(len(text))):]
	lines := strings.Split(strings.TrimRight(string(run), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-logTail):], "\n")
}
