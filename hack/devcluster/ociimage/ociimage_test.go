// SPDX-License-Identifier: Apache-2.0

package ociimage

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func example() Image {
	return Image{
		Name: "ghcr.io/lbstack/lbstack:dev", Entrypoint: []string{"/operator"}, User: NonrootUser,
		Files: []File{{Path: "/speaker", Content: []byte("s")}, {Path: "/operator", Content: []byte("o")}},
	}
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	source := filepath.Join(t.TempDir(), "operator")
	if err := os.WriteFile(source, []byte("o"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(source, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	fromFile := example()
	fromFile.Files = []File{{Path: "operator", Source: source}, {Path: "speaker", Content: []byte("s")}}
	if !bytes.Equal(write(t, example()), write(t, fromFile)) {
		t.Error("the same files in another order, one from the disk: got other bytes, want the same")
	}
}

func TestContents(t *testing.T) {
	layout := untar(t, write(t, example()))
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	unmarshal(t, layout["index.json"], &index)
	wantNames := map[string]string{
		"io.containerd.image.name": "ghcr.io/lbstack/lbstack:dev", "org.opencontainers.image.ref.name": "dev",
	}
	if diff := cmp.Diff(wantNames, index.Manifests[0].Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	var manifest struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	unmarshal(t, blob(t, layout, index.Manifests[0]), &manifest)
	var config struct {
		Architecture string `json:"architecture"`
		Config       struct {
			User       string
			Entrypoint []string
		} `json:"config"`
	}
	unmarshal(t, blob(t, layout, manifest.Config), &config)
	if config.Architecture != "amd64" || config.Config.User != "65532:65532" || !cmp.Equal(config.Config.Entrypoint, []string{"/operator"}) {
		t.Errorf("configuration: got %+v, want amd64, user 65532:65532 and /operator", config)
	}
	files := untar(t, blob(t, layout, manifest.Layers[0]))
	for _, want := range []string{"etc/", "tmp/", "etc/passwd", "etc/group", "operator", "speaker"} {
		if _, ok := files[want]; !ok {
			t.Errorf("layer: got no %s, want one", want)
		}
	}
}

func TestAnImageByDigest(t *testing.T) {
	for _, tc := range []struct{ name, repository, tag string }{
		{"ghcr.io/lbstack/lbstack:dev", "ghcr.io/lbstack/lbstack", "dev"},
		{"localhost:5000/lbstack", "localhost:5000/lbstack", "latest"},
	} {
		image := example()
		image.Name, image.ByDigest = tc.name, true
		var index struct {
			Manifests []descriptor `json:"manifests"`
		}
		unmarshal(t, untar(t, write(t, image))["index.json"], &index)
		want := tc.repository + "@" + index.Manifests[0].Digest
		if got, err := image.PinnedName(); err != nil || got != want {
			t.Errorf("%s: its name by digest: got %q, %v, want %q", tc.name, got, err, want)
		}
		got := []map[string]string{index.Manifests[0].Annotations, index.Manifests[1].Annotations}
		wantNames := []map[string]string{
			{"io.containerd.image.name": tc.name, "org.opencontainers.image.ref.name": tc.tag},
			{"io.containerd.image.name": want},
		}
		if diff := cmp.Diff(wantNames, got); diff != "" || index.Manifests[0].Digest != index.Manifests[1].Digest {
			t.Errorf("%s: two names of one image (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestAFileThatIsMissing(t *testing.T) {
	image := Image{Name: "a:1", Files: []File{{Path: "/a", Source: filepath.Join(t.TempDir(), "a")}}}
	if err := image.Write(io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("writing it: got %v, want %v", err, os.ErrNotExist)
	}
}

func write(t *testing.T, image Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := image.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func untar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func blob(t *testing.T, layout map[string][]byte, d descriptor) []byte {
	t.Helper()
	content := layout["blobs/sha256/"+d.Digest[len("sha256:"):]]
	if len(content) != d.Size || "sha256:"+digestOf(content) != d.Digest {
		t.Fatalf("blob %s: got %d bytes with digest %s, want %d", d.Digest, len(content), digestOf(content), d.Size)
	}
	return content
}

func unmarshal(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}
