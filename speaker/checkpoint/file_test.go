package checkpoint

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func TestAnyContentComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	rapid.Check(t, func(t *rapid.T) {
		address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
		want := Content{Peers: map[lb.NodeName]netip.Addr{}}
		want.Claims, want.Snapshot.Draining = ownership.Claims{}, map[lb.NodeName]bool{}
		var lists [][]layer2.Candidate
		for i := range rapid.IntRange(1, 4).Draw(t, "lists") {
			var list []layer2.Candidate
			for j := range rapid.IntRange(0, 3).Draw(t, "candidates") {
				list = append(list, layer2.Candidate{
					Node: lb.NodeName(fmt.Sprint("node", i, j)), Preference: rapid.Int32().Draw(t, "preference"),
					RequireSubnet: rapid.Bool().Draw(t, "subnet"), Interfaces: rapid.SliceOfN(rapid.StringMatching("eth[0-9]"), 0, 2).Draw(t, "interfaces"),
				})
			}
			lists = append(lists, list)
		}
		for i := range rapid.IntRange(0, 6).Draw(t, "addresses") {
			want.Snapshot.Addresses = append(want.Snapshot.Addresses, layer2.AnnouncedAddress{Address: address(i), Candidates: rapid.SampledFrom(lists).Draw(t, "list")})
			want.Claims[address(i)] = ownership.Epoch(rapid.Uint64().Draw(t, "epoch"))
			want.Peers[lb.NodeName(fmt.Sprint("node", i))] = netip.MustParseAddr("fe80::1")
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "hardware") {
			want.Ours, want.Held = append(want.Ours, net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}), append(want.Held, address(i))
		}
		want.Snapshot.Draining["node1"] = rapid.Bool().Draw(t, "draining")
		comesBack(t, path, want)
	})
}

// comesBack fails unless the content that is read equals the content that was written.
func comesBack(t rapid.TB, path string, want Content) {
	t.Helper()
	if err := writeFile(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, byValue, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("kept (-want +got):\n%s", diff)
	}
}

func TestTheSameCandidatesAreWrittenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	c := content()
	if err := writeFile(path, c); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), `"eth0"`); got != 1 {
		t.Errorf("eth0 is written %d times, want once: %s", got, text)
	}
	got, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if x, y := got.Snapshot.Addresses[0].Candidates, got.Snapshot.Addresses[2].Candidates; &x[0] != &y[0] {
		t.Error("two addresses that shared their candidates share them no more")
	}
}

func TestAPartOfSharedCandidatesIsAListOfItsOwn(t *testing.T) {
	both := []layer2.Candidate{{Node: "node1"}, {Node: "node2"}}
	want := Content{Checkpoint: layer2.Checkpoint{Snapshot: layer2.Snapshot{Addresses: []layer2.AnnouncedAddress{
		{Address: netip.MustParseAddr("10.0.0.1"), Candidates: both}, {Address: netip.MustParseAddr("10.0.0.2"), Candidates: both[:1]},
	}}}}
	comesBack(t, filepath.Join(t.TempDir(), "file"), want)
}

func TestAnEmptyAddressIsNotTaken(t *testing.T) {
	if got, err := decodeFile([]byte(`{"format":1,"addresses":[{"address":"","candidates":-1}]}`)); err == nil {
		t.Errorf("got %+v, want an error", got)
	}
}

func TestStore_OldFileStaysIfTheNewCannotBeWritten(t *testing.T) {
	directory := t.TempDir()
	var logLines []string
	log := funcr.New(func(_, args string) { logLines = append(logLines, args) }, funcr.Options{})
	store, _ := Open(directory, "node1", log)
	if len(logLines) > 0 {
		t.Errorf("logged %v, want nothing: an absent checkpoint is no error", logLines)
	}
	store.SaveEngine(content().Checkpoint)
	store.Flush()
	path := filepath.Join(directory, "speaker-node1.json")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A directory in the place of the new file cannot be written, not even by root.
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	store.SaveEngine(layer2.Checkpoint{})
	store.Flush()
	if len(logLines) != 1 {
		t.Errorf("logged %v, want that no checkpoint is written", logLines)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("got %s, error %v, want what was there: %s", after, err, before)
	}
	// It is written as soon as that is possible again.
	if err := os.Remove(path + ".new"); err != nil {
		t.Fatal(err)
	}
	store.Flush()
	if _, got := Open(directory, "node1", log); len(got.Claims) > 0 {
		t.Errorf("got claims %v, want none", got.Claims)
	}
}

func TestHalfWrittenFileIsIgnored(t *testing.T) {
	directory := t.TempDir()
	store, _ := Open(directory, "node1", logr.Discard())
	store.SaveEngine(content().Checkpoint)
	store.Flush()
	path := filepath.Join(directory, "speaker-node1.json")
	if err := os.WriteFile(path+".new", []byte(`{"form`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, got := Open(directory, "node1", logr.Discard()); len(got.Claims) != 2 {
		t.Errorf("got claims %v, want both", got.Claims)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, error %v, want a file for root alone", info.Mode(), err)
	}
}

func TestADirectoryThatCannotBeReadIsReportedAndNotUsed(t *testing.T) {
	directory := t.TempDir()
	if err := os.Mkdir(filepath.Join(directory, "speaker-node1.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	var logLines []string
	_, got := Open(directory, "node1", funcr.New(func(_, args string) { logLines = append(logLines, args) }, funcr.Options{}))
	if diff := cmp.Diff(Content{}, got, byValue); diff != "" || len(logLines) != 1 {
		t.Errorf("logged %v, want one error; content (-want +got):\n%s", logLines, diff)
	}
}

func TestChangesWithinTheIntervalAreWrittenTogetherAndTheLastAtTheEnd(t *testing.T) {
	directory := t.TempDir()
	claims := func() int {
		_, got := Open(directory, "node1", logr.Discard())
		return len(got.Claims)
	}
	synctest.Test(t, func(t *testing.T) {
		store, _ := Open(directory, "node1", logr.Discard())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { store.Run(ctx); close(done) }()
		keep := func(n int) {
			kept := layer2.Checkpoint{Claims: ownership.Claims{}}
			for i := range n {
				kept.Claims[netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})] = 1
			}
			store.SaveEngine(kept)
			synctest.Wait()
		}
		keep(1)
		if got := claims(); got != 1 {
			t.Errorf("got %d claims, want the first change written at once", got)
		}
		keep(2)
		keep(3)
		if got := claims(); got != 1 {
			t.Errorf("got %d claims, want the next ones collected", got)
		}
		time.Sleep(writeInterval)
		synctest.Wait()
		if got := claims(); got != 3 {
			t.Errorf("got %d claims a moment later, want 3", got)
		}
		keep(4)
		cancel()
		<-done
		if got := claims(); got != 4 {
			t.Errorf("got %d claims in the end, want 4", got)
		}
	})
}

func TestFlush_ConcurrentCallsWriteOneAfterTheOther(t *testing.T) {
	directory := t.TempDir()
	var failed atomic.Int32
	store, _ := Open(directory, "node1", funcr.New(func(_, _ string) { failed.Add(1) }, funcr.Options{}))
	store.SaveEngine(content().Checkpoint)
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range 300 {
				store.Flush()
			}
		})
	}
	writers.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of 600 writes failed, want none", n)
	}
}

func TestRun_FailedWriteIsReportedOnceAndRetried(t *testing.T) {
	directory := t.TempDir()
	blocked := filepath.Join(directory, "speaker-node1.json.new")
	if err := os.Mkdir(blocked, 0o700); err != nil { // a directory cannot be written, not even by root
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var logged, changed atomic.Int32
		store, _ := Open(directory, "node1", funcr.New(func(_, _ string) { logged.Add(1) }, funcr.Options{}))
		store.Changed = func() { changed.Add(1) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { store.Run(ctx); close(done) }()
		store.SaveEngine(content().Checkpoint)
		time.Sleep(3 * retryInterval)
		synctest.Wait()
		if err := store.Problem(); err == nil || logged.Load() != 1 || changed.Load() != 1 {
			t.Errorf("got the problem %v, logged %d times, reported %d times, want one, 1 and 1", err, logged.Load(), changed.Load())
		}
		if err := os.Remove(blocked); err != nil {
			t.Error(err)
		}
		time.Sleep(retryInterval + writeInterval)
		synctest.Wait()
		if err := store.Problem(); err != nil || changed.Load() != 2 {
			t.Errorf("when it can be written again: got the problem %v, reported %d times, want none and 2", err, changed.Load())
		}
		if _, got := Open(directory, "node1", logr.Discard()); len(got.Claims) != 2 {
			t.Errorf("got claims %v, want both written", got.Claims)
		}
		cancel()
		<-done
	})
}
