package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// forbiddenInNames are words that no exported name has, and what it says instead.
var forbiddenInNames = map[string]string{
	"Accuse": "Suspect", "Accused": "Suspected", "Beat": "Heartbeat", "Board": "Index", "Book": "Index", "Convict": "Confirm", "Guilty": "Dead",
	"Hear": "Receive", "Heard": "Received", "Heed": "Acknowledge", "Heeded": "Acknowledged", "Hopeless": "Invalid", "Ledger": "Allocations", "Letter": "Message",
	"Lonely": "Isolated", "News": "Changes", "Patience": "GracePeriod", "Pledge": "ReserveFor", "Pledged": "Reserved", "Sayings": "Conditions", "Seat": "Holder",
	"Tell": "Report", "Told": "Reported", "Unheard": "Unreached", "Verdict": "Result", "Verdicts": "Results",
}

// forbiddenInTexts are words that no text of a program has: programs report, send and receive.
var forbiddenInTexts = regexp.MustCompile(`(?i)\b(accuse[sd]?|beats?|believe[sd]?|guilty|hears?|heard|heeded|hopeless|ledger|lives|lonely|means? nothing|mended|patience|pledged?|tells?|told|verdict|whoever)\b`)

// partsOfName are the words of a name in mixed caps.
var partsOfName = regexp.MustCompile(`[A-Z]+[a-z0-9]*`)

// names is a file rule: exported names are in the words of the glossary.
func names(f File) []string {
	if f.Test() || f.Generated() || f.in("hack", "test") {
		return nil
	}
	var broken []string
	for _, id := range f.exported() {
		for _, word := range partsOfName.FindAllString(id.Name, -1) {
			if instead, forbidden := forbiddenInNames[word]; forbidden {
				broken = append(broken, fmt.Sprintf("%s: %s has the word %s: use %s", f.at(id), id.Name, word, instead))
			}
		}
	}
	return broken
}

// exported are the names that the file declares at the level of the package, and those of fields
// and methods.
func (f File) exported() (list []*ast.Ident) {
	add := func(ids ...*ast.Ident) {
		for _, id := range ids {
			if id.IsExported() {
				list = append(list, id)
			}
		}
	}
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
			return false // what is declared in it is its own
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			add(n.Names...)
		case *ast.Field:
			add(n.Names...)
		}
		return true
	})
	return list
}

// texts is a file rule: what users read is in the words of the glossary. A text has a space.
func texts(f File) []string {
	if f.Test() || f.Generated() || f.in("hack", "test") {
		return nil
	}
	var broken []string
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil || !strings.Contains(text, " ") {
			return true
		}
		if word := forbiddenInTexts.FindString(text); word != "" {
			broken = append(broken, fmt.Sprintf("%s has the word %q in %q", f.at(literal), word, text))
		}
		return true
	})
	return broken
}

func TestWordsOfTheGlossary(t *testing.T) {
	const reason = "one thing has one name, and programs are described as programs: a reader decodes nothing"
	for _, f := range load(t) {
		report(t, names(f), reason)
		report(t, texts(f), reason)
	}
}

func TestForbiddenWord(t *testing.T) {
	tests := []struct {
		name, path, source string
		want               []string
	}{
		{"in a function, a field and a constant", "speaker/a.go", "package a\nfunc TellAll() {}\ntype T struct{ LastNews int }\nconst MaxLedger = 1\n",
			[]string{"speaker/a.go:2: TellAll has the word Tell: use Report", "speaker/a.go:3: LastNews has the word News: use Changes", "speaker/a.go:4: MaxLedger has the word Ledger: use Allocations"}},
		{"as a part of another word", "speaker/a.go", "package a\nfunc Newsletter() {}\nfunc Heartbeat() {}\n", nil},
		{"in a name that is not exported", "speaker/a.go", "package a\nfunc tell() { type News int }\n", nil},
		{"in a test", "speaker/a_test.go", "package a\nfunc TellAll() { _ = \"he told me\" }\n", nil},
		{"in a text", "speaker/a.go", "package a\nconst c = \"the router is not heard\"\n", []string{`speaker/a.go:2 has the word "heard" in "the router is not heard"`}},
		{"in a text of one word", "speaker/a.go", "package a\nconst c = \"told\"\n", nil},
		{"in a comment", "speaker/a.go", "package a\n// c is told.\nconst c = 1\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, tt.path, tt.source)
			if diff := cmp.Diff(tt.want, append(names(f), texts(f)...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
