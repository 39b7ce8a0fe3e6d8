package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTar_SameBytesForSameFiles(t *testing.T) {
	files := map[string][]byte{"b/c": []byte("2"), "a": []byte("1"), "empty": {}}
	first, err := Tar(files)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read, err := ReadFolder(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Tar(read)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the archive of the same files, read from a folder: %v, %d bytes, want the same %d bytes", err, len(second), len(first))
	}
	got, err := Untar(first)
	if diff := cmp.Diff(files, got); err != nil || diff != "" {
		t.Errorf("files of the archive: %v (-want +got):\n%s", err, diff)
	}
	if _, err := Untar(first[:1300]); err == nil {
		t.Error("an archive that is cut off is read without an error")
	}
}

func TestTar_Executables(t *testing.T) {
	content, err := Tar(map[string][]byte{"bin/program": []byte("1"), "LICENSE": []byte("2")}, "bin/program")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[header.Name] = header.Mode
	}
	if diff := cmp.Diff(map[string]int64{"bin/program": 0o755, "LICENSE": 0o644}, got); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}

func TestFolder_Prefix(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFolder(dir, "chart")
	if diff := cmp.Diff(map[string][]byte{"chart/f": []byte("x")}, got); err != nil || diff != "" {
		t.Errorf("got %v (-want +got):\n%s", err, diff)
	}
	if _, err := ReadFolder(filepath.Join(dir, "absent"), ""); err == nil {
		t.Error("a folder that does not exist is read without an error")
	}
}

// image is a layout with one image.
func image(t *testing.T, config string, entries int) []byte {
	t.Helper()
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(config)))
	digest := "sha256:manifest-" + sum
	files := map[string][]byte{"oci-layout": []byte(`{}`), blobFolder + sum: []byte(config), blobPath(digest): []byte(`{"config":{"digest":"sha256:` + sum + `"}}`)}
	list := imageIndex{}
	for range entries {
		list.Manifests = append(list.Manifests, descriptor{MediaType: "manifest", Digest: digest, Size: 7, Annotations: map[string]string{"name": "a:1"}})
	}
	var err error
	if files["index.json"], err = json.Marshal(list); err != nil {
		t.Fatal(err)
	}
	content, err := Tar(files)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestJoinImages(t *testing.T) {
	const arm, amd = `{"os":"linux","architecture":"arm64"}`, ` {"os":"linux","architecture":"amd64"}`
	joined, digest, err := JoinImages(image(t, arm, 1), image(t, amd, 1))
	if err != nil {
		t.Fatal(err)
	}
	layout, err := Untar(joined)
	if err != nil {
		t.Fatal(err)
	}
	var top, list imageIndex
	if err := json.Unmarshal(layout["index.json"], &top); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(layout[blobPath(digest)], &list); err != nil {
		t.Fatal(err)
	}
	want := imageIndex{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []descriptor{
		{MediaType: mediaIndex, Digest: digest, Size: len(layout[blobPath(digest)]), Annotations: map[string]string{"name": "a:1"}}}}
	if diff := cmp.Diff(want, top); diff != "" {
		t.Errorf("index.json (-want +got):\n%s", diff)
	}
	var platforms []platform
	for _, m := range list.Manifests {
		platforms = append(platforms, *m.Platform)
		if layout[blobPath(m.Digest)] == nil {
			t.Errorf("the manifest %s of %v is missing", m.Digest, *m.Platform)
		}
	}
	if diff := cmp.Diff([]platform{{"amd64", "linux"}, {"arm64", "linux"}}, platforms); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
	if again, _, err := JoinImages(image(t, amd, 1), image(t, arm, 1)); err != nil || !bytes.Equal(again, joined) {
		t.Errorf("the same images in another order: %v, %d bytes, want the same %d bytes", err, len(again), len(joined))
	}
}

func TestJoinImages_Refuses(t *testing.T) {
	tests := []struct {
		name    string
		archive []byte
		want    string
	}{
		{"an archive with two images", image(t, `{"os":"linux","architecture":"arm64"}`, 2), "2 images"},
		{"an image without a platform", image(t, `{"os":"linux"}`, 1), "no platform"},
		{"what is no archive", []byte("x"), "reading"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := JoinImages(tt.archive); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
