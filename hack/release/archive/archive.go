// Package archive writes the archives of a release. The same content always gives the same bytes.
package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// Tar returns a tar archive of files, which are given by their path in the archive. The archive has them in
// the order of their paths, and with the same owner and time. The files in executables are executable.
func Tar(files map[string][]byte, executables ...string) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(0, 0)}
		if slices.Contains(executables, name) {
			header.Mode = 0o755
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", name, err)
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("finishing the archive: %w", err)
	}
	return buffer.Bytes(), nil
}

// TarGz returns the archive of Tar, compressed with gzip.
func TarGz(files map[string][]byte, executables ...string) ([]byte, error) {
	content, err := Tar(files, executables...)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("compressing the archive: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing the archive: %w", err)
	}
	return buffer.Bytes(), nil
}

// ReadFolder reads the files below a folder. It returns them by relative path, to which it adds the prefix.
func ReadFolder(dir, prefix string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		files[path.Join(prefix, filepath.ToSlash(name))] = content
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	return files, nil
}
