// SPDX-License-Identifier: Apache-2.0

package hostinit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/cgroup"
)

// Boot sets up the namespaces of a host and then executes the program again, with
// the given command line, which must lead to a call of Run. This process must be
// process 1 of a new process namespace, in new mount and host name namespaces. Boot
// returns only if it fails.
func Boot(specPath string, command []string) error {
	if os.Getpid() != 1 {
		return errors.New("host-init is not process 1: only the test bed may start it, as the first process of a host; run devcluster up instead")
	}
	spec, err := readSpec(specPath)
	if err != nil {
		return err
	}
	// Each thread has its own namespaces. The exec below keeps the namespaces of this thread.
	runtime.LockOSThread()
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	if err := cgroup.EnterGroups(spec.Cgroups); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("making a control group namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := mountAll(spec, hierarchies); err != nil {
		return err
	}
	if err := leaveRootGroup(hierarchies); err != nil {
		return err
	}
	if err := WriteSpec(bootedSpecPath, spec); err != nil {
		return err
	}
	env := []string{"PATH=" + BinDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	return fmt.Errorf("starting the host's first process: %w", unix.Exec("/proc/self/exe", command, env))
}

// leaveRootGroup moves this process out of the host's root group in the v2 hierarchy. The
// host's programs start in the same group. A v2 group with processes cannot pass
// controllers to its child groups, which the pods use.
func leaveRootGroup(hierarchies []cgroup.Hierarchy) error {
	for _, h := range hierarchies {
		if h.Type != "cgroup2" {
			continue
		}
		own := filepath.Join(h.Mount, "host")
		if err := os.Mkdir(own, 0o755); err != nil {
			return fmt.Errorf("making the control group of the host's programs: %w", err)
		}
		if err := cgroup.EnterGroups([]string{own}); err != nil {
			return err
		}
	}
	return nil
}

func mountAll(spec Spec, hierarchies []cgroup.Hierarchy) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the host's mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := mountSysAndCgroups(hierarchies); err != nil {
		return err
	}
	// The sources of the bind mounts may be below /run or /var, so they are opened
	// before other file systems cover these folders.
	opened := map[string]*os.File{}
	defer func() {
		for _, f := range opened {
			_ = f.Close()
		}
	}()
	for target, source := range bindMounts(spec) {
		f, err := os.OpenFile(source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening the source of the mount %s: %w", target, err)
		}
		opened[target] = f
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	if err := os.MkdirAll(BinDir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", BinDir, err)
	}
	for target, f := range opened {
		if strings.HasPrefix(target, BinDir) {
			if err := os.WriteFile(target, nil, 0o755); err != nil {
				return fmt.Errorf("making %s: %w", target, err)
			}
		}
		if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", target, err)
		}
	}
	// Containers may need mount propagation. The host's mounts are private since the first
	// call above, so no mount propagates to the machine.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing the host's mounts with its containers: %w", err)
	}
	return nil
}

func bindMounts(spec Spec) map[string]string {
	b := map[string]string{"/var": spec.Disk}
	for name, source := range spec.Binaries {
		b[filepath.Join(BinDir, name)] = source
	}
	return b
}

// mountSysAndCgroups mounts /sys again, so that it shows the host's network interfaces. It also
// mounts the cgroup hierarchies again, so that their roots are the host's groups.
func mountSysAndCgroups(hierarchies []cgroup.Hierarchy) error {
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting /sys: %w", err)
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("sysfs", "/sys", "sysfs", flags, ""); err != nil {
		return fmt.Errorf("mounting /sys: %w", err)
	}
	const root = "/sys/fs/cgroup"
	if len(hierarchies) > 0 && hierarchies[0].Mount != root {
		if err := unix.Mount("tmpfs", root, "tmpfs", flags, "mode=755"); err != nil {
			return fmt.Errorf("mounting %s: %w", root, err)
		}
	}
	for _, h := range hierarchies {
		if err := os.MkdirAll(h.Mount, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", h.Mount, err)
		}
		options := h.Options
		if strings.HasPrefix(options, "name=") {
			options = "none," + options
		}
		if err := unix.Mount("cgroup", h.Mount, h.Type, flags, options); err != nil {
			return fmt.Errorf("mounting the cgroup hierarchy %s: %w", h.Mount, err)
		}
	}
	return nil
}
