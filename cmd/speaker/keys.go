package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/keyring"
)

// maxKeyFile is more than a key has: larger files are read up to here, and refused for their
// size.
const maxKeyFile = 4 * keyring.Size

// readKeys returns the keys in the folder that the kubelet makes of the Secret, the newest
// first. Keys and error as in keyring.Parse: entries that are ignored make an error next to
// the keys. The files are those of one version of the Secret.
func readKeys(folder string) ([]keyring.Entry, error) {
	// The kubelet changes all files at once: it points the link ..data to another folder.
	at, err := filepath.EvalSymlinks(filepath.Join(folder, "..data"))
	if errors.Is(err, fs.ErrNotExist) {
		at, err = folder, nil // no kubelet made it
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
		if files[entry.Name()], err = readStart(filepath.Join(at, entry.Name())); err != nil {
			return nil, fmt.Errorf("reading the keys of the mesh: %w", err)
		}
	}
	keys, err := keyring.Parse(files)
	if err != nil {
		err = fmt.Errorf("reading the keys of the mesh in %s: %w", folder, err)
	}
	return keys, err
}

// newestKey returns the key that the mesh is started with. Entries that are ignored are
// logged.
func newestKey(folder string, log logr.Logger) ([]byte, error) {
	keys, err := readKeys(folder)
	if len(keys) == 0 {
		return nil, err
	}
	if err != nil {
		log.Error(err, "entries are ignored")
	}
	return keys[0].Bytes[:], nil
}

func readStart(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	content := make([]byte, maxKeyFile)
	n, err := io.ReadFull(file, content)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return content[:n], nil
}
