// SPDX-License-Identifier: Apache-2.0

// Package lan builds the network of a test bed from network namespaces: one for a bridge,
// and one for each host. The machine's own namespace has no part of this network.
package lan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

const namespaceDir = "/var/run/netns"

// NamespaceName returns the name of the network namespace of a host. For the host "lan", it
// returns the name of the bridge's namespace.
func NamespaceName(cluster, host string) string {
	if cluster == DefaultCluster {
		return DefaultCluster + "-" + host
	}
	return DefaultCluster + "-" + cluster + "-" + host
}

// DefaultCluster is the name of a cluster if the caller gives none. It is also the prefix
// of the names of all namespaces.
const DefaultCluster = "lbstack"

// NamespacePath returns the path of the file that refers to the namespace.
func NamespacePath(namespace string) string { return filepath.Join(namespaceDir, namespace) }

// NamespaceExists reports whether there is a namespace of that name.
func NamespaceExists(namespace string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(NamespacePath(namespace), &fs) == nil && fs.Type == unix.NSFS_MAGIC
}

// RunInNamespace runs fn on a separate thread inside the namespace. Sockets that fn opens and
// programs that fn starts are in the namespace. Goroutines that fn starts are not.
func RunInNamespace(namespace string, fn func() error) error {
	return runOnThread(func() error {
		f, err := os.Open(NamespacePath(namespace))
		if err != nil {
			return fmt.Errorf("opening network namespace: %w", err)
		}
		defer func() { _ = f.Close() }()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering network namespace %s: %w", namespace, err)
		}
		return fn()
	})
}

// runOnThread runs fn on a separate thread, which fn may move to another network namespace.
// Then runOnThread moves the thread back. If that fails, the thread ends.
func runOnThread(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			result <- fmt.Errorf("opening the network namespace of this process: %w", err)
			return
		}
		defer func() { _ = home.Close() }()
		err = fn()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// createNamespace makes a network namespace of that name, as `ip netns add` does.
func createNamespace(namespace string) error {
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", namespaceDir, err)
	}
	if err := makeShared(namespaceDir); err != nil {
		return err
	}
	path := NamespacePath(namespace)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("making the file of a network namespace: %w", err)
	}
	_ = f.Close()
	err = runOnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making network namespace %s: %w", namespace, err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting the file of network namespace %s: %w", namespace, err)
		}
		return nil
	})
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// makeShared makes a folder a shared mount point, unless it is one. Without makeShared, the
// next `ip netns add` would mount the folder on itself. That mount would cover the files of
// the existing namespaces, which could then not be removed.
func makeShared(dir string) error {
	const kind = unix.MS_SHARED | unix.MS_REC
	err := unix.Mount("", dir, "none", kind, "")
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	if err := unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("making a mount point of %s: %w", dir, err)
	}
	if err := unix.Mount("", dir, "none", kind, ""); err != nil {
		return fmt.Errorf("sharing %s: %w", dir, err)
	}
	return nil
}

// removeNamespace removes the file of a namespace. The namespace itself ends when it has no
// process. removeNamespace returns no error if there is no such namespace.
func removeNamespace(namespace string) error {
	path := NamespacePath(namespace)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmounting network namespace %s: %w", namespace, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing network namespace: %w", err)
	}
	return nil
}
