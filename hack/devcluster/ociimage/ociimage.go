// SPDX-License-Identifier: Apache-2.0

// Package ociimage writes container images as OCI image layout archives
// (https://github.com/opencontainers/image-spec, v1.0) that containerd, podman and
// skopeo read. The same input always gives the same bytes.
package ociimage

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// NonrootUser is an unprivileged user, as uid:gid. The distroless images use the same ids.
const NonrootUser = "65532:65532"

// Image is an image for Linux with one layer.
type Image struct {
	// Name is the name with the tag, for example "ghcr.io/lbstack/lbstack:dev".
	Name string
	// Entrypoint is the program that a container starts by default.
	Entrypoint []string
	// User is the user of a container, as uid:gid; "" for root.
	User string
	// Architecture is the architecture of the programs, as Go names it; "" for amd64.
	Architecture string
	// Labels are metadata of the image for tools.
	Labels map[string]string
	Files  []File
	// ByDigest means that the archive also contains the name of the image with its digest. A
	// node that has the image may pull the image again if a pod refers to it by tag. The node
	// does not pull the image again if the pod refers to it by digest.
	ByDigest bool
}

// File is a file of an image.
type File struct {
	// Path is the path in the image: absolute or relative to the root.
	Path string
	// Source is the path of a file on this machine. The file is read if Content is nil.
	Source  string
	Content []byte
	// Mode is the permission; 0 for 0755.
	Mode int64
}

const (
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// descriptor refers to a blob of the archive.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// PinnedName returns the name of the image with its digest in place of the tag, for example
// "ghcr.io/lbstack/lbstack@sha256:...".
func (i Image) PinnedName() (string, error) {
	blobs, err := i.buildBlobs()
	if err != nil {
		return "", err
	}
	return i.pinnedName(blobs.manifest), nil
}

func (i Image) pinnedName(manifest []byte) string {
	repository, _ := i.splitName()
	return repository + "@" + descriptorOf(mediaManifest, manifest).Digest
}

// splitName splits the name at the colon before the tag. A colon before the last slash is
// the colon of a port.
func (i Image) splitName() (repository, tag string) {
	last := strings.LastIndexByte(i.Name, '/') + 1
	name, tag, _ := strings.Cut(i.Name[last:], ":")
	return i.Name[:last] + name, cmp.Or(tag, "latest")
}

// imageBlobs are the contents of an image. The digest of the manifest is also the digest of
// the image.
type imageBlobs struct{ config, manifest, layer []byte }

func (i Image) buildBlobs() (b imageBlobs, err error) {
	if b.layer, err = i.buildLayer(); err != nil {
		return b, fmt.Errorf("image %s: %w", i.Name, err)
	}
	if b.config, err = i.buildConfig(b.layer); err != nil {
		return b, fmt.Errorf("image %s: %w", i.Name, err)
	}
	b.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest,
		"config": descriptorOf(mediaConfig, b.config),
		"layers": []descriptor{descriptorOf(mediaLayer, b.layer)},
	})
	if err != nil {
		return b, fmt.Errorf("image %s: encoding the manifest: %w", i.Name, err)
	}
	return b, nil
}

// Write writes the image as a tar archive.
func (i Image) Write(w io.Writer) error {
	b, err := i.buildBlobs()
	if err != nil {
		return err
	}
	_, tag := i.splitName()
	entry := descriptorOf(mediaManifest, b.manifest)
	entry.Annotations = map[string]string{"io.containerd.image.name": i.Name, "org.opencontainers.image.ref.name": tag}
	entries := []descriptor{entry}
	if i.ByDigest {
		entry.Annotations = map[string]string{"io.containerd.image.name": i.pinnedName(b.manifest)}
		entries = append(entries, entry)
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": mediaIndex, "manifests": entries})
	if err != nil {
		return fmt.Errorf("image %s: encoding the index: %w", i.Name, err)
	}
	files := []File{
		{Path: "oci-layout", Content: []byte(`{"imageLayoutVersion":"1.0.0"}`), Mode: 0o644},
		{Path: "index.json", Content: index, Mode: 0o644},
	}
	for _, blob := range [][]byte{b.config, b.manifest, b.layer} {
		files = append(files, File{Path: "blobs/sha256/" + digestOf(blob), Content: blob, Mode: 0o644})
	}
	if err := writeArchive(w, nil, files); err != nil {
		return fmt.Errorf("image %s: %w", i.Name, err)
	}
	return nil
}

func (i Image) buildConfig(layer []byte) ([]byte, error) {
	run := map[string]any{
		"Entrypoint": i.Entrypoint, "User": i.User, "WorkingDir": "/",
		"Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	}
	if len(i.Labels) > 0 {
		run["Labels"] = i.Labels
	}
	config, err := json.Marshal(map[string]any{
		"architecture": cmp.Or(i.Architecture, "amd64"), "os": "linux",
		"config": run,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digestOf(layer)}},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	return config, nil
}

// buildLayer returns the image's file system as a tar archive. It has the image's files, and
// the files and folders that programs expect in every system.
func (i Image) buildLayer() ([]byte, error) {
	files := []File{
		{Path: "etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
		{Path: "etc/group", Mode: 0o644, Content: []byte("root:x:0:\nnonroot:x:65532:\n")},
	}
	for _, f := range i.Files {
		f.Path = strings.TrimPrefix(f.Path, "/")
		f.Mode = cmp.Or(f.Mode, 0o755)
		if f.Content == nil {
			content, err := os.ReadFile(f.Source)
			if err != nil {
				return nil, fmt.Errorf("file /%s: %w", f.Path, err)
			}
			f.Content = content
		}
		files = append(files, f)
	}
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	var buffer bytes.Buffer
	if err := writeArchive(&buffer, []directory{{"etc/", 0o755}, {"tmp/", 0o1777}}, files); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

type directory struct {
	path string
	mode int64
}

// writeArchive writes directories and files as a tar archive. No data of the archive depends
// on the machine or the time.
func writeArchive(w io.Writer, directories []directory, files []File) error {
	t := tar.NewWriter(w)
	epoch := time.Unix(0, 0)
	for _, d := range directories {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: d.path, Mode: d.mode, ModTime: epoch, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("archiving %s: %w", d.path, err)
		}
	}
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: f.Mode, Size: int64(len(f.Content)), ModTime: epoch, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("archiving %s: %w", f.Path, err)
		}
		if _, err := t.Write(f.Content); err != nil {
			return fmt.Errorf("archiving %s: %w", f.Path, err)
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("finishing the archive: %w", err)
	}
	return nil
}

func descriptorOf(mediaType string, blob []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: "sha256:" + digestOf(blob), Size: len(blob)}
}

func digestOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
