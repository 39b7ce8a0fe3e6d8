// Package termination ends a program that cannot go on, and leaves one sentence about
// why where the kubelet finds it: the operator shows that sentence on the
// LoadBalancerStack. Only the main functions call it.
package termination

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/lbstack/lbstack/internal/bounded"
)

const (
	// messagePath is where the kubelet reads the termination message of a container
	// (terminationMessagePath, which has this default).
	messagePath = "/dev/termination-log"
	// readBytes is how much of it the kubelet reads.
	readBytes = 4096
	// maxBytes bounds a message: one sentence is shorter than readBytes.
	maxBytes = 1024
	// maxStacks bounds the stacks in bytes: some 2000 goroutines.
	maxStacks = 1 << 20
	// writeTimeout bounds how long the write to standard error may take.
	writeTimeout = 5 * time.Second
)

// Exit ends the program with status 1. The sentence about err goes to standard error
// and into the termination message of the container, if it runs in one.
func Exit(program string, err error) { exit(program, ExplainError(err), nil) }

// ExitHung is Exit for a program of which a part hangs: the stacks of all goroutines go to
// standard error as well, up to a bound. Arguments in them are addresses, without contents.
func ExitHung(program string, err error) {
	stacks := make([]byte, maxStacks)
	exit(program, err.Error(), stacks[:runtime.Stack(stacks, true)])
}

// exit writes the termination message first: the write to standard error hangs if nobody reads
// the other end of its pipe. exit waits for the write no longer than the time writing.
func exit(program, message string, more []byte) {
	_ = writeMessage(messagePath, message) // without a message the kubelet reports the end of the log
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = fmt.Fprintf(os.Stderr, "%s: %s\n%s", program, message, more)
	}()
	select {
	case <-written:
	case <-time.After(writeTimeout):
	}
	os.Exit(1)
}

// WriteResult writes the result of a program that has done its task: to standard output and, in a container, to
// the termination message, which is in the status of the pod. It has 4096 bytes at most.
func WriteResult(result []byte) error {
	if len(result) > readBytes {
		return fmt.Errorf("a result of %d bytes: a termination message has %d at most", len(result), readBytes)
	}
	_ = writeExisting(messagePath, string(result)) // outside of a container there is no such file
	_, err := os.Stdout.Write(append(result, '\n'))
	return err
}

// writeMessage writes a sentence as the termination message.
func writeMessage(path, message string) error {
	return writeExisting(path, bounded.Cut(message, maxBytes))
}

// writeExisting writes into a file that exists: outside of a container there is none.
func writeExisting(path, message string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("writing the termination message: %w", err)
	}
	_, err = file.WriteString(message)
	return errors.Join(err, file.Close())
}

// ExplainError returns the text of an error. If the operating system refused something that only an
// administrator can change, it adds what that means and what to do.
func ExplainError(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		if at, network := listenTarget(err); at != "" {
			port := portOf(at)
			return fmt.Sprintf("port %s (%s) is in use by another program%s: end that program, which `ss -Hlnp 'sport = :%s'` on the node names, or choose another port in spec.speaker.ports of the LoadBalancerStack (%s)",
				port, network, usualPrograms[port], port, err)
		}
		return fmt.Sprintf("a port is in use by another program: end that program, which `ss -Hlnp` on the node names (%s)", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Sprintf("%s is on a read-only file system: mount it so that it can be written (%s)", fileOf(err), err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Sprintf("the file system of %s is full: free some space (%s)", fileOf(err), err)
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("the kernel does not permit it: check the capabilities of the container, and SELinux or AppArmor on the node (%s)", err)
	}
	return err.Error()
}

// usualPrograms names the programs that have a port by default on nodes of many clusters.
var usualPrograms = map[string]string{
	"7472": " (MetalLB uses it by default)",
	"7473": " (MetalLB uses it by default)",
	"7946": " (MetalLB and Docker Swarm use it by default)",
}

// listenTarget returns the address and the network that could not be listened on.
func listenTarget(err error) (address, network string) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Addr == nil {
		return "", ""
	}
	return op.Addr.String(), op.Net
}

func portOf(address string) string {
	if _, port, err := net.SplitHostPort(address); err == nil {
		return port
	}
	return address
}

func fileOf(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Path
	}
	return "a file"
}
