// Package termination ends a program that cannot continue. It writes the reason, as one sentence, into the
// termination message of the container. The kubelet copies that message into the status of the pod, and the
// operator reports it in the status of the LoadBalancerStack. Only main functions call this package.
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
	// messagePath is the file from which the kubelet reads the termination message of a container. It is the
	// default of terminationMessagePath.
	messagePath = "/dev/termination-log"
	// maxReadBytes is how many bytes of the message the kubelet reads.
	maxReadBytes = 4096
	// maxMessageBytes is the maximum length of a message in bytes. It is less than maxReadBytes, since a message is
	// only one sentence.
	maxMessageBytes = 1024
	// maxStackBytes is the maximum length of the stacks in bytes, which is enough for some 2000 goroutines.
	maxStackBytes = 1 << 20
	// writeTimeout is how long the write to standard error may take.
	writeTimeout = 5 * time.Second
)

// Exit ends the program with status 1. It writes the sentence about err to standard error and, in a
// container, into the termination message.
func Exit(program string, err error) { exit(program, ExplainError(err), nil) }

// ExitHung is Exit for a program that hangs. It also writes the stacks of all goroutines to standard error,
// up to maxStackBytes. The stacks show pointers in place of the data of arguments, so they do not reveal
// strings such as passwords.
func ExitHung(program string, err error) {
	stacks := make([]byte, maxStackBytes)
	exit(program, err.Error(), stacks[:runtime.Stack(stacks, true)])
}

// exit writes the termination message first, since the write to standard error can hang if nothing reads the
// other end of the pipe. It waits for that write no longer than writeTimeout.
func exit(program, message string, more []byte) {
	_ = writeMessage(messagePath, message) // if this fails, the kubelet reports the end of the log instead
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

// WriteResult writes the result of a program that has done its task. It writes to standard output and, in a
// container, into the termination message, which the kubelet copies into the status of the pod. The result
// must not be longer than maxReadBytes.
func WriteResult(result []byte) error {
	if len(result) > maxReadBytes {
		return fmt.Errorf("the result has %d bytes, but a termination message can have at most %d", len(result), maxReadBytes)
	}
	_ = writeExisting(messagePath, string(result)) // outside of a container there is no such file
	_, err := os.Stdout.Write(append(result, '\n'))
	return err
}

// writeMessage writes a sentence as the termination message.
func writeMessage(path, message string) error {
	return writeExisting(path, bounded.Cut(message, maxMessageBytes))
}

// writeExisting writes into an existing file. Outside of a container the file does not exist, and it returns
// an error.
func writeExisting(path, message string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("writing the termination message: %w", err)
	}
	_, err = file.WriteString(message)
	return errors.Join(err, file.Close())
}

// ExplainError returns a sentence about an error. For some errors of the operating system that an
// administrator can correct, the sentence also has the cause and what to do. For other errors it is the text
// of the error.
func ExplainError(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		if at, network := listenAddress(err); at != "" {
			port := portOf(at)
			return fmt.Sprintf("port %s (%s) is in use by another program%s: end that program, or choose another port in spec.speaker.ports of the LoadBalancerStack; `ss -Hlnp 'sport = :%s'` on the node shows the program (%s)",
				port, network, usualPrograms[port], port, err)
		}
		return fmt.Sprintf("a port is in use by another program: end that program, which `ss -Hlnp` shows on the node (%s)", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Sprintf("%s is on a read-only file system: mount it so that it can be written (%s)", fileOf(err), err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Sprintf("the file system of %s is full: free some space (%s)", fileOf(err), err)
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("the kernel does not permit the operation: check the capabilities of the container, and SELinux or AppArmor on the node (%s)", err)
	}
	return err.Error()
}

// usualPrograms has, for some ports, the programs that use the port by default on nodes of many clusters. The
// texts are parts of a sentence.
var usualPrograms = map[string]string{
	"7472": " (MetalLB uses it by default)",
	"7473": " (MetalLB uses it by default)",
	"7946": " (MetalLB and Docker Swarm use it by default)",
}

// listenAddress returns the address and the network on which a program could not listen. Both are empty if
// err is not such an error.
func listenAddress(err error) (address, network string) {
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
