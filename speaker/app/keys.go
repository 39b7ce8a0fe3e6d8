package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/keyring"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// keysReadInterval is the time between two reads of the folder with the keys. A longer interval would save
// little, since a read is cheap. A shorter one would gain little, since the kubelet takes up to two minutes
// to update the folder.
const keysReadInterval = 5 * time.Second

// meshKeys are the keys of the mesh that this speaker accepts.
type meshKeys struct {
	folder string
	log    logr.Logger

	mu       sync.Mutex // guards the fields below
	ring     keyring.AcceptedKeys
	accepted []keyring.Entry
	ignored  string // the last logged reason why entries of the folder are ignored
}

// openKeys reads the keys for the first time. It fails if there is no valid key.
func openKeys(folder string, log logr.Logger) (*meshKeys, error) {
	k := &meshKeys{folder: folder, log: log}
	if _, err := k.readFolder(); len(k.accepted) == 0 {
		return nil, err
	}
	return k, nil
}

// readFolder reads the folder, and reports whether the accepted keys have changed since the last call.
func (k *meshKeys) readFolder() (changed bool, err error) {
	keys, err := readKeys(k.folder)
	k.mu.Lock()
	defer k.mu.Unlock()
	var ignored string
	if err != nil {
		ignored = err.Error()
	}
	if ignored != k.ignored && err != nil {
		k.log.Error(err, "invalid or unreadable keys of the mesh are ignored")
	}
	k.ignored = ignored
	before := k.accepted
	k.accepted = k.ring.Update(time.Now(), keys)
	return !slices.Equal(before, k.accepted), err
}

// followFolder reads the folder every keysReadInterval until the context ends. When the keys change, it
// passes them to the mesh and calls changed.
func (k *meshKeys) followFolder(ctx context.Context, peers *mesh.Mesh, changed func()) {
	tick := time.NewTicker(keysReadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if differ, _ := k.readFolder(); differ {
			k.log.Info("the keys of the mesh have changed", "keys", k.keyIDs())
			peers.SetKeys(k.sessionKeys())
			changed()
		}
	}
}

// keyIDs returns the public IDs of the keys, the newest first.
func (k *meshKeys) keyIDs() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return keyring.IDs(k.accepted)
}

// sessionKeys returns the keys, the newest first.
func (k *meshKeys) sessionKeys() []session.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := make([]session.Key, 0, len(k.accepted))
	for _, entry := range k.accepted {
		if key, err := session.ParseKey(entry.Bytes[:]); err == nil { // never fails: the length is right
			keys = append(keys, key)
		}
	}
	return keys
}

// maxKeyFileBytes bounds the bytes that are read of a file. A key has fewer bytes, so readKeys refuses a
// larger file because of its size.
const maxKeyFileBytes = 4 * keyring.KeySize

// readKeys returns the keys in a folder, the newest first. The kubelet fills the folder from the Secret with
// the keys. readKeys can return both keys and an error, like keyring.Parse: the error then names the ignored
// entries. All files come from the same version of the Secret.
func readKeys(folder string) ([]keyring.Entry, error) {
	// The kubelet changes all files at once: it points the link ..data to another folder.
	at, err := filepath.EvalSymlinks(filepath.Join(folder, "..data"))
	if errors.Is(err, fs.ErrNotExist) {
		at, err = folder, nil // the folder is not a volume that a kubelet made
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys of the mesh: %w", err)
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return nil, fmt.Errorf("reading the keys of the mesh: %w", err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		if files[entry.Name()], err = readFileStart(filepath.Join(at, entry.Name())); err != nil {
			return nil, fmt.Errorf("reading the keys of the mesh: %w", err)
		}
	}
	keys, err := keyring.Parse(files)
	if err != nil {
		err = fmt.Errorf("reading the keys of the mesh in %s: %w", folder, err)
	}
	return keys, err
}

func readFileStart(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the file was only read, so a failed Close loses nothing
	content := make([]byte, maxKeyFileBytes)
	n, err := io.ReadFull(file, content)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return content[:n], nil
}
