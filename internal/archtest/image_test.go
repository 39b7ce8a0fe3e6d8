package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheBuilderGetsEveryFileOfTheImage(t *testing.T) {
	ignore, err := ParseIgnore(read(t, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := ImageSources(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) == 0 {
		t.Fatal("go list found no file of any program")
	}
	for _, dockerfile := range []string{"Dockerfile", "bundle.Dockerfile", "catalog.Dockerfile"} {
		for _, copied := range regexp.MustCompile(`(?m)^COPY (\w\S*) `).FindAllStringSubmatch(read(t, dockerfile), -1) {
			sources = append(sources, filesBelow(t, copied[1])...)
		}
	}
	for _, file := range append(sources, "go.mod", "go.sum") {
		if !ignore.LetsIn(file) {
			t.Errorf(".dockerignore keeps %s out, and the image needs it", file)
		}
	}
}

// filesBelow lists the files of a folder of the repository, or the one file that a path is.
func filesBelow(t *testing.T, path string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, path), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err = filepath.Rel(root, file)
		files = append(files, filepath.ToSlash(file))
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%s, which an image has, has %d files: %v", path, len(files), err)
	}
	return files
}

// What is in an image is of this repository: a base would be another project's, known by a name that can be moved.
func TestImagesHaveNoBase(t *testing.T) {
	for _, dockerfile := range []string{"Dockerfile", "bundle.Dockerfile", "catalog.Dockerfile"} {
		stages := regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(read(t, dockerfile), -1)
		if len(stages) == 0 || stages[len(stages)-1] != "FROM scratch" {
			t.Errorf("%s has the stages %q, want FROM scratch as the last", dockerfile, stages)
		}
	}
}

func TestMakeAndTheDockerfileBuildTheSameImage(t *testing.T) {
	got, want := DockerRecipe(read(t, "Dockerfile")), MakeRecipe(read(t, "Makefile"))
	if len(want.Paths) != 3 || want.Flags == "" || len(want.Files) == 0 || len(want.Labels) == 0 {
		t.Fatalf("the Makefile's image: got %+v, want three programs, the linker's flags, files and labels", want)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the Makefile's image (-) is not the Dockerfile's (+):\n%s", diff)
	}
}

func TestIgnorePatterns(t *testing.T) {
	tests := []struct {
		name, ignore, path string
		want               bool
	}{
		{"without patterns all is let in", "", "a/b.go", true},
		{"a star keeps folders out with what is in them", "*", "a/b.go", false},
		{"the last pattern decides", "*\n!**/*.go\n**/*_test.go", "a/b_test.go", false},
		{"two stars match any depth", "*\n!**/*.go", "a/b/c.go", true},
		{"two stars match no depth at all", "*\n!**/*.go", "c.go", true},
		{"a file of another kind stays out", "*\n!**/*.go", "config/a.yaml", false},
		{"two stars in the middle match any depth", "*\n!config/**/*.yaml", "config/crd/bases/a.yaml", true},
		{"two stars in the middle match no depth at all", "*\n!config/**/*.yaml", "config/a.yaml", true},
		{"a folder's name is no prefix", "test", "testing/a.go", true},
		{"comments and empty lines do not count", "# *\n\n", "a", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ignore, err := ParseIgnore(tt.ignore)
			if err != nil {
				t.Fatal(err)
			}
			if got := ignore.LetsIn(tt.path); got != tt.want {
				t.Errorf("%s let in: got %v, want %v", tt.path, got, tt.want)
			}
		})
	}
}

func TestRecipeThatDiffersIsFound(t *testing.T) {
	docker := "RUN for program in operator speaker; do go build -ldflags \"-s\" ; done\nCOPY --from=build /out/operator /bin/operator\nENTRYPOINT [\"/speaker\"]\n"
	want := Recipe{Programs: []string{"operator", "speaker"}, Paths: []string{"/bin/operator"}, Flags: "-s", Entrypoint: "/speaker"}
	if diff := cmp.Diff(want, DockerRecipe(docker)); diff != "" {
		t.Errorf("reading a Dockerfile (-want +got):\n%s", diff)
	}
	if got := MakeRecipe("PROGRAMS := operator\n"); got.Paths != nil {
		t.Errorf("a Makefile without an image: got the paths %v, want none", got.Paths)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// replacements matches a file of the source, and the text in it that an image of the e2e tests has replaced.
var replacements = regexp.MustCompile(`\{"([a-z0-9_/.]+\.go)", "((?:[^"\\]|\\.)+)", "`)

// TestEveryReplacementOfAnImageApplies: the e2e tests build images from source in which a text is replaced, and find only
// after many minutes that a name in it was changed.
func TestEveryReplacementOfAnImageApplies(t *testing.T) {
	found := replacements.FindAllStringSubmatch(read(t, "test/e2e/images_test.go"), -1)
	if len(found) == 0 {
		t.Error("no replacement was found")
	}
	for _, r := range found {
		if n := strings.Count(read(t, r[1]), r[2]); n != 1 {
			t.Errorf("%s has %q %d times, want once", r[1], r[2], n)
		}
	}
}
