package app

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/keyring"
)

func TestReadKeys(t *testing.T) {
	key := func(char string) string { return strings.Repeat(char, keyring.KeySize) }
	tests := []struct {
		name  string
		files map[string]string
		want  string // first bytes of the keys, the newest first
		err   string
	}{
		{name: "plain folder", files: map[string]string{"key-1": key("a")}, want: "a"},
		{name: "newest key first", files: map[string]string{"key-9": key("a"), "key-10": key("b")}, want: "ba"},
		{name: "folder of a kubelet", files: map[string]string{"..v2/key-2": key("b"), "..v1/key-1": key("a"), "..data": "link:..v2", "key-2": "link:..data/key-2"}, want: "b"},
		{name: "damaged and large files are named", files: map[string]string{"key-1": key("a"), "key-2": "x", "key-3": strings.Repeat("x", 1<<20)}, want: "a", err: `"key-3": it has 128 bytes`},
		{name: "empty folder", err: keyring.ErrNoKey.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			for name, content := range tt.files {
				path := filepath.Join(folder, name)
				target, isLink := strings.CutPrefix(content, "link:")
				err := os.MkdirAll(filepath.Dir(path), 0o700)
				if isLink {
					err = errors.Join(err, os.Symlink(target, path))
				} else {
					err = errors.Join(err, os.WriteFile(path, []byte(content), 0o400))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			keys, err := readKeys(folder)
			var got bytes.Buffer
			for _, k := range keys {
				got.WriteByte(k.Bytes[0])
			}
			if diff := cmp.Diff(tt.want, got.String()); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got the error %v, want %q", err, tt.err)
			}
		})
	}
	if _, err := readKeys(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("folder that is not there: got the error %v, want one that names it", err)
	}
}
