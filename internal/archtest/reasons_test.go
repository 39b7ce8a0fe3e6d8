package archtest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUndocumentedReasons(t *testing.T) {
	const source = "package v1\n\nconst (\n\tReasonGood = \"Good\"\n\tReasonBad, ReasonWorse = \"Bad\", \"Worse\"\n\tConditionReady = \"Ready\"\n)\n"
	for name, tt := range map[string]struct {
		path, pages string
		want        []string
		found       int
	}{
		"all are named": {"api/v1/a.go", "`Good`, `Bad` and | `Worse` |", nil, 3},
		"in prose a name is only a word": {"api/v1/a.go", "Good, `Bad` and `Worse`",
			[]string{"api/v1/a.go: the reason Good (ReasonGood) is named neither in README.md nor in docs/*.md"}, 3},
		"part of another name": {"api/v1/a.go", "`Good`, `NotBad`, `Worse`",
			[]string{"api/v1/a.go: the reason Bad (ReasonBad) is named neither in README.md nor in docs/*.md"}, 3},
		"constants elsewhere are none": {"internal/a.go", "", nil, 0},
		"nor are those of tests":       {"api/v1/a_test.go", "", nil, 0},
	} {
		f, err := ParseFile(tt.path, source)
		if err != nil {
			t.Fatal(err)
		}
		got, found := UndocumentedReasons([]File{f}, tt.pages)
		slices.Sort(got)
		if diff := cmp.Diff(tt.want, got); diff != "" || found != tt.found {
			t.Errorf("%s: found %d, want %d; (-want +got):\n%s", name, found, tt.found, diff)
		}
	}
}
