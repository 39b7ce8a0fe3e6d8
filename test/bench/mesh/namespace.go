package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/programs"
)

const (
	// ownLink is the link of the speaker's node, on the network of the links that the simulated nodes publish.
	// No host is at its other end.
	ownLink, ownNetwork = "eth0", "10.0.0.1/16"
	otherEnd            = "segment"
)

// inNamespace runs this program in a network namespace of its own, with the same arguments, and returns when it
// ends. The speaker opens raw sockets on the links that it finds: it must not find those of this machine.
// As another user than root the program gets a user namespace as well, in which it may do that.
// What needs the network of this machine, such as a build that downloads modules, is done before.
func inNamespace(ctx context.Context) error {
	repo, err := programs.FindRepo(".")
	if err != nil {
		return err
	}
	if _, err := programs.EnsureBinaries(ctx, repo, os.Stderr); err != nil {
		return err
	}
	speaker, err := buildSpeaker(ctx, repo)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.Command(self, append([]string{"-speaker=" + speaker}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGTERM}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	runtime.LockOSThread() // Pdeathsig takes the end of the thread for that of the process
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting this program in a network namespace: %w: run it as root, permit user namespaces to all users, or measure without a real speaker (-seconds 0)", err)
	}
	return cmd.Wait()
}

// buildSpeaker builds the speaker as it is shipped.
func buildSpeaker(ctx context.Context, repo string) (string, error) {
	path := filepath.Join(repo, "bin", "bench", "speaker")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", path, "./cmd/speaker")
	cmd.Dir = repo
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the speaker: %w\n%s", err, out)
	}
	return path, nil
}

// makeLinks makes the links of the namespace, and turns on loopback.
func makeLinks() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = ownLink
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: otherEnd}); err != nil {
		return fmt.Errorf("making the link %s: %w", ownLink, err)
	}
	address, err := netlink.ParseAddr(ownNetwork)
	if err != nil {
		return err
	}
	for _, name := range []string{"lo", ownLink, otherEnd} {
		link, err := netlink.LinkByName(name)
		if err == nil && name == ownLink {
			err = netlink.AddrAdd(link, address)
		}
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			return fmt.Errorf("setting up the link %s: %w", name, err)
		}
	}
	return nil
}
