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

// hashDigits is the number of hexadecimal digits of the SHA-256 in the name of a program.
const hashDigits = 12

// sourceHash returns a hash of everything that the program depends on: the source, the
// required modules, the build flags, the Go release and the architecture.
func (m programModule) sourceHash(ctx context.Context) (string, error) {
	toolchain, err := m.runGo(ctx, "env", "GOVERSION", "GOARCH")
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

// writeItem adds an item to the hash. It also adds the lengths, so that the hash changes
// when bytes move from one item to the next.
func writeItem(w hash.Hash, name string, content []byte) {
	fmt.Fprintf(w, "%d %s %d ", len(name), name, len(content))
	_, _ = w.Write(content) // writing to a hash never fails
}
