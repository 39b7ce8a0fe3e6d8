package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Ignore has the patterns of a .dockerignore: the last pattern that matches a path
// decides, and one that begins with "!" lets in.
type Ignore []ignorePattern

type ignorePattern struct {
	path  *regexp.Regexp
	letIn bool
}

// wildcards turns those of a .dockerignore, quoted, into regular expressions.
var wildcards = strings.NewReplacer(`\*\*/`, `(.*/)?`, `\*\*`, `.*`, `\*`, `[^/]*`)

// ParseIgnore reads the text of a .dockerignore.
func ParseIgnore(text string) (Ignore, error) {
	var ignore Ignore
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, letIn := strings.CutPrefix(line, "!")
		// A pattern that matches a folder matches what is in it.
		path, err := regexp.Compile("^" + wildcards.Replace(regexp.QuoteMeta(strings.Trim(pattern, "/"))) + "(/.*)?$")
		if err != nil {
			return nil, fmt.Errorf("reading the pattern %q: %w", line, err)
		}
		ignore = append(ignore, ignorePattern{path: path, letIn: letIn})
	}
	return ignore, nil
}

// LetsIn reports whether the file at path, with slashes and relative to the
// repository's root, reaches the builder.
func (ignore Ignore) LetsIn(path string) bool {
	in := true
	for _, p := range ignore {
		if p.path.MatchString(path) {
			in = p.letIn
		}
	}
	return in
}

// ImageSources returns the files of the main module that its programs are made
// of, embedded ones included, relative to root.
func ImageSources(root string) ([]string, error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=Dir,GoFiles,EmbedFiles,Module", "./cmd/...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing what the programs are made of: %w", err)
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", root, err)
	}
	var files []string
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Dir                 string
			GoFiles, EmbedFiles []string
			Module              struct{ Path string }
		}
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return files, nil
		case err != nil:
			return nil, fmt.Errorf("reading what go list printed: %w", err)
		case p.Module.Path != Module:
			continue
		}
		dir, err := filepath.Rel(absolute, p.Dir)
		if err != nil {
			return nil, fmt.Errorf("placing %s below %s: %w", p.Dir, root, err)
		}
		for _, name := range slices.Concat(p.GoFiles, p.EmbedFiles) {
			files = append(files, filepath.ToSlash(filepath.Join(dir, name)))
		}
	}
}

// Recipe is the part of a Makefile or a Dockerfile that makes the image.
type Recipe struct {
	// Programs that are built, in order, and the paths that they get in the image.
	Programs, Paths []string
	// Files of the repository that are in the image as they are, as
	// PATH-IN-THE-IMAGE=PATH, and its labels, as KEY="VALUE".
	Files, Labels []string
	// Entrypoint is what a container runs; Flags are those of the linker.
	Entrypoint, Flags string
}

var (
	makePrograms   = regexp.MustCompile(`(?m)^PROGRAMS := (.*)$`)
	makeFlags      = regexp.MustCompile(`(?m)^LDFLAGS := (.*)$`)
	makeFiles      = regexp.MustCompile(`--file (\S+)`)
	labels         = regexp.MustCompile(`org\.opencontainers\.image\.[a-z]+="[^"]*"`)
	makeImage      = regexp.MustCompile(`\$\(foreach p,\$\(PROGRAMS\),--binary \$\(p\)=`)
	dockerPrograms = regexp.MustCompile(`for program in ([^;]*);`)
	dockerFlags    = regexp.MustCompile(`-ldflags "([^"]*)"`)
	dockerCopies   = regexp.MustCompile(`(?m)^COPY --from=build /out/(\S+) (\S+)$`)
	dockerFiles    = regexp.MustCompile(`(?m)^COPY (\w\S*) (/\S+)$`)
	dockerEntry    = regexp.MustCompile(`(?m)^ENTRYPOINT \["([^"]*)"\]$`)
)

// MakeRecipe reads the image of `make image`: devcluster puts each program in
// the root folder and starts the first.
func MakeRecipe(makefile string) Recipe {
	r := Recipe{Programs: strings.Fields(first(makePrograms, makefile)), Flags: variables(first(makeFlags, makefile)), Labels: labelsIn(makefile)}
	for _, file := range makeFiles.FindAllStringSubmatch(makefile, -1) {
		r.Files = append(r.Files, file[1])
	}
	if makeImage.MatchString(makefile) && len(r.Programs) > 0 {
		for _, p := range r.Programs {
			r.Paths = append(r.Paths, "/"+p)
		}
		r.Entrypoint = r.Paths[0]
	}
	return r
}

// DockerRecipe reads the image of the Dockerfile.
func DockerRecipe(dockerfile string) Recipe {
	r := Recipe{
		Programs: strings.Fields(first(dockerPrograms, dockerfile)), Flags: variables(first(dockerFlags, dockerfile)),
		Entrypoint: first(dockerEntry, dockerfile), Labels: labelsIn(dockerfile),
	}
	for _, file := range dockerFiles.FindAllStringSubmatch(dockerfile, -1) {
		r.Files = append(r.Files, file[2]+"="+file[1])
	}
	for _, copied := range dockerCopies.FindAllStringSubmatch(dockerfile, -1) {
		r.Paths = append(r.Paths, copied[2])
	}
	return r
}

func labelsIn(text string) []string {
	return labels.FindAllString(variables(text), -1)
}

// variables writes make's variables as the shell does.
func variables(s string) string {
	return regexp.MustCompile(`\$[({](\w+)[)}]`).ReplaceAllString(s, "$$$1")
}

func first(expression *regexp.Regexp, text string) string {
	if found := expression.FindStringSubmatch(text); found != nil {
		return strings.TrimSpace(found[1])
	}
	return ""
}
