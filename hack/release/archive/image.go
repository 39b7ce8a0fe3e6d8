package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// mediaIndex is the media type of an index in https://github.com/opencontainers/image-spec, v1.1.
const mediaIndex = "application/vnd.oci.image.index.v1+json"

// blobFolder is the folder of the blobs in an image layout.
const blobFolder = "blobs/sha256/"

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type imageIndex struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// JoinImages joins OCI image layout archives, each of which has one image for one platform, to one image for
// several platforms. It returns the archive with that image, and the digest of the image in a registry,
// sha256:.... The image has the name of the first given image.
func JoinImages(archives ...[]byte) (joined []byte, digest string, err error) {
	files := map[string][]byte{}
	list := imageIndex{SchemaVersion: 2, MediaType: mediaIndex}
	var names map[string]string
	for _, archive := range archives {
		layout, err := Untar(archive)
		if err != nil {
			return nil, "", fmt.Errorf("reading an image: %w", err)
		}
		entry, err := onlyManifest(layout)
		if err != nil {
			return nil, "", fmt.Errorf("reading an image: %w", err)
		}
		if names == nil {
			names = entry.Annotations
		}
		entry.Annotations = nil
		list.Manifests = append(list.Manifests, entry)
		maps.Copy(files, layout)
	}
	slices.SortFunc(list.Manifests, func(a, b descriptor) int { return strings.Compare(a.Platform.Architecture, b.Platform.Architecture) })
	content, err := json.Marshal(list)
	if err != nil {
		return nil, "", fmt.Errorf("encoding the list of platforms: %w", err)
	}
	entry := descriptor{MediaType: mediaIndex, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(content)), Size: len(content), Annotations: names}
	files[blobPath(entry.Digest)] = content
	if files["index.json"], err = json.Marshal(imageIndex{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []descriptor{entry}}); err != nil {
		return nil, "", fmt.Errorf("encoding the index: %w", err)
	}
	joined, err = Tar(files)
	return joined, entry.Digest, err
}

// onlyManifest returns the only manifest of an image layout, with the platform in the configuration of the
// image.
func onlyManifest(layout map[string][]byte) (descriptor, error) {
	var list imageIndex
	if err := json.Unmarshal(layout["index.json"], &list); err != nil {
		return descriptor{}, fmt.Errorf("reading index.json: %w", err)
	}
	if len(list.Manifests) != 1 {
		return descriptor{}, fmt.Errorf("the archive has %d images instead of one", len(list.Manifests))
	}
	entry := list.Manifests[0]
	var manifest struct {
		Config descriptor `json:"config"`
	}
	if err := json.Unmarshal(layout[blobPath(entry.Digest)], &manifest); err != nil {
		return descriptor{}, fmt.Errorf("reading the manifest %s: %w", entry.Digest, err)
	}
	entry.Platform = &platform{}
	if err := json.Unmarshal(layout[blobPath(manifest.Config.Digest)], entry.Platform); err != nil {
		return descriptor{}, fmt.Errorf("reading the configuration of %s: %w", entry.Digest, err)
	}
	if entry.Platform.Architecture == "" || entry.Platform.OS == "" {
		return descriptor{}, fmt.Errorf("the configuration of %s has no platform", entry.Digest)
	}
	return entry, nil
}

func blobPath(digest string) string {
	return path.Join(blobFolder, strings.TrimPrefix(digest, "sha256:"))
}

// Untar returns the files of a tar archive, by their path.
func Untar(archive []byte) (map[string][]byte, error) {
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the archive: %w", err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("reading %s: %w", header.Name, err)
		}
	}
}
