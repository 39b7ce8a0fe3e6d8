package programs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// hashDigits is how many hexadecimal digits of the SHA-256 the name of a
// program has.
const hashDigits = 12

// sourceHash differs for two programs that differ in their source, in the modules
// they are made of, in the flags, or in the Go release or architecture.
func (m programModule) sourceHash(ctx context.Context) (string, error) {
	toolchain, err := m.goTool(ctx, "env", "GOVERSION", "GOARCH")
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	writeItem(sum, "toolchain", []byte(toolchain))
	writeItem(sum, "flags", []byte(strings.Join(m.buildFlags(), "\x00")))
	err = filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !isSource(entry.Name()) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(m.dir, path)
		if err != nil {
			return err
		}
		writeItem(sum, filepath.ToSlash(relative), content)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("reading the source in %s: %w", m.dir, err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:hashDigits], nil
}

func isSource(name string) bool {
	return name == "go.mod" || name == "go.sum" || filepath.Ext(name) == ".go"
}

// writeItem also writes the lengths, so that moving bytes from one file to
// the next changes the hash.
func writeItem(w hash.Hash, name string, content []byte) {
	fmt.Fprintf(w, "%d %s %d ", len(name), name, len(content))
	_, _ = w.Write(content) // writing to a hash never fails
}
