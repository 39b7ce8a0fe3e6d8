package archtest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGoroutineLeaks(t *testing.T) {
	const (
		quiet    = "package p\n\nfunc f() {}\n"
		starts   = "package p\n\nfunc f() { go f() }\n"
		group    = "package p\n\nimport \"sync\"\n\nfunc f(w *sync.WaitGroup) { w.Go(func() {}) }\n"
		verified = "package p\n\nimport (\n\t\"testing\"\n\n\t\"go.uber.org/goleak\"\n)\n\nfunc TestMain(m *testing.M) { goleak.VerifyTestMain(m) }\n"
		served   = "package p\n\nimport (\n\t\"testing\"\n\n\t\"github.com/lbstack/lbstack/test/apiserver\"\n)\n\nfunc TestMain(m *testing.M) { apiserver.Main(m, nil) }\n"
	)
	tests := []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"a package that starts none needs nothing", map[string]string{"speaker/p/p.go": quiet, "speaker/p/p_test.go": quiet}, nil},
		{"a go statement without a check is reported", map[string]string{"speaker/p/p.go": starts, "speaker/p/p_test.go": quiet},
			[]string{"speaker/p/p.go starts a goroutine, and no TestMain of speaker/p calls goleak.VerifyTestMain"}},
		{"a wait group starts one, too", map[string]string{"speaker/p/p.go": group, "speaker/p/p_test.go": quiet},
			[]string{"speaker/p/p.go starts a goroutine, and no TestMain of speaker/p calls goleak.VerifyTestMain"}},
		{"a goroutine of a test counts", map[string]string{"speaker/p/p.go": quiet, "speaker/p/p_test.go": starts},
			[]string{"speaker/p/p_test.go starts a goroutine, and no TestMain of speaker/p calls goleak.VerifyTestMain"}},
		{"a check is enough", map[string]string{"speaker/p/p.go": starts, "speaker/p/p_test.go": verified}, nil},
		{"a check of another package is not", map[string]string{"speaker/p/p.go": starts, "speaker/p/p_test.go": quiet, "speaker/q/q_test.go": verified},
			[]string{"speaker/p/p.go starts a goroutine, and no TestMain of speaker/p calls goleak.VerifyTestMain"}},
		{"a program needs a check as well", map[string]string{"cmd/p/p.go": starts, "cmd/p/p_test.go": quiet},
			[]string{"cmd/p/p.go starts a goroutine, and no TestMain of cmd/p calls goleak.VerifyTestMain"}},
		{"the check of the tests' API server is enough", map[string]string{"test/p/p_test.go": starts, "test/p/main_test.go": served}, nil},
		{"tests of a cluster keep connections", map[string]string{"test/e2e/p_test.go": starts}, nil},
		{"a package without tests needs none", map[string]string{"cmd/p/p.go": starts}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var files []File
			for path, source := range tt.files {
				f, err := ParseFile(path, source)
				if err != nil {
					t.Fatal(err)
				}
				files = append(files, f)
			}
			if diff := cmp.Diff(tt.want, GoroutineLeaks(files)); diff != "" {
				t.Errorf("GoroutineLeaks (-want +got):\n%s", diff)
			}
		})
	}
}
