package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// The nodes of the test bed share the clock of the machine, which no test may set. The speaker of
// clockImage is built with a standard library in which time.Now adds the offset in a file on its node, in
// seconds, to the wall clock, and nothing to the monotonic clock, as a step of the clock does.
const (
	clockOnNode = "/var/lib/lbstack/speaker/clock"
	clockSource = `package time

import "sync/atomic"

var wallStep atomic.Int64

func init() {
	readStep()
	go func() {
		for {
			Sleep(10 * Millisecond)
			readStep()
		}
	}()
}

func readStep() {
	fd, err := open("/var/lib/lbstack/clock")
	if err != nil {
		return
	}
	defer closefd(fd)
	var text [32]byte
	n, err := read(fd, text[:])
	if n <= 0 || err != nil {
		return
	}
	sign, step := int64(1), int64(0)
	for _, c := range text[:n] {
		if c == '-' {
			sign = -1
		}
		if '0' <= c && c <= '9' {
			step = step*10 + int64(c-'0')
		}
	}
	wallStep.Store(sign * step)
}
`
)

// The clock of a node is ahead when its speaker starts. The clock is corrected and then set back, as by NTP,
// and the speaker starts again. Its address has one owner all the time, and its messages count.
func TestClockStepsMoveNoAddressAndStopNoSpeaker(t *testing.T) {
	installed(t)
	address := served(t)
	former := image(t)
	restoreAfter(t, former)
	load(t, clockImage, build(t, "controller", nil), build(t, "speaker", stepsOfTheClock(t)))
	patchStack(t, `{"spec":{"speaker":{"rollout":{"maxUnavailable":"100%"}}}}`)
	ctx, cancel := context.WithTimeout(context.Background(), rolls)
	defer cancel()
	before, err := rolledOut(ctx, v1beta1.RolloutComplete)
	must(t, err)
	must(t, wants(clockImage)(ctx))
	must(t, changed(ctx, before)) // the operator that acts next may wait for the lease of the last one
	_, err = rolledOut(ctx, v1beta1.RolloutComplete)
	must(t, err)
	must(t, bed.EveryoneSeesEveryone(ctx))

	_, err = bed.Page(ctx, address) // the client forgot the address while the image was built
	must(t, err)
	owner, err := bed.Settled(ctx, address)
	must(t, err)
	t.Cleanup(func() { setClock(t, owner.Node, "0") })
	w := watching(t, address)
	for _, step := range []string{"3600", "-3000", "1800", "0"} {
		t.Run("set by "+step+" s while the speaker runs", func(t *testing.T) {
			before := time.Now()
			setClock(t, owner.Node, step)
			eventually.Stays(t, settles, "one node reports that it owns the address", func(ctx context.Context) error { return owners(ctx, address, 1) })
			answersFrom(t, w, address, before, owner.MAC, settles)
			must(t, bed.EveryoneSeesEveryone(background(t)))
		})
	}
	for _, step := range []string{"3600", "-3000"} {
		t.Run("off by "+step+" s when the speaker starts", func(t *testing.T) {
			setClock(t, owner.Node, step)
			killed := processOf(t, owner.Node)
			signalSpeaker(t, owner.Node, "KILL")
			anotherProcess(t, owner.Node, killed)
			must(t, bed.EveryoneSeesEveryone(background(t)))
			startedBy(t, owner.Node, step)
			ownedBy(t, address, owner.Node)
			t.Cleanup(func() {
				must(t, bed.Cluster.SetLink(owner.Node, true))
				must(t, bed.EveryoneSeesEveryone(background(t)))
			})
			lost := time.Now()
			must(t, bed.Cluster.SetLink(owner.Node, false))
			takenOver(t, w, address, lost, owner.MAC, failover)
		})
	}
	notBoth(t, w, address, together)
}

// stepsOfTheClock are the replacements of clockImage.
func stepsOfTheClock(t *testing.T) []replacement {
	t.Helper()
	root, err := exec.CommandContext(background(t), "go", "-C", bed.Repo, "env", "GOROOT").Output()
	must(t, err)
	folder := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	return []replacement{
		{filepath.Join(folder, "time.go"), now, now + "\tsec += wallStep.Load()\n"},
		{filepath.Join(folder, "step.go"), "", clockSource},
	}
}

// setClock sets the wall clock of a node's speaker off by some seconds.
func setClock(t *testing.T, node, seconds string) {
	t.Helper()
	if out, err := bed.Cluster.Exec(background(t), node, "sh", "-c", "echo "+seconds+" > "+clockOnNode); err != nil {
		t.Fatalf("setting the clock of %s: %v: %s", node, err, out)
	}
}

// startedBy waits until the speaker of a node reports that it started at the time of a clock that is off
// by some seconds.
func startedBy(t *testing.T, node, seconds string) {
	t.Helper()
	off, err := time.ParseDuration(seconds + "s")
	must(t, err)
	eventually.Succeed(t, within, "the clock of the speaker of "+node+" is off by "+seconds+" s", func(ctx context.Context) error {
		state, err := stateOf(ctx, node)
		if err == nil && (state.Status.StartedAt == nil || time.Until(state.Status.StartedAt.Add(-off)).Abs() > 10*time.Minute) {
			err = fmt.Errorf("it started at %s", state.Status.StartedAt)
		}
		return err
	})
}

// ownedBy has a node take an address, by draining the others meanwhile.
func ownedBy(t *testing.T, address, node string) {
	t.Helper()
	others := except(bed.Cluster.Nodes(), node)
	defer func() {
		for _, other := range others {
			must(t, bed.Drain(background(t), other, false))
		}
	}()
	for _, other := range others {
		must(t, bed.Drain(background(t), other, true))
	}
	eventually.Succeed(t, within, node+" owns "+address, func(ctx context.Context) error {
		now, err := bed.Settled(ctx, address)
		if err == nil && now.Node != node {
			err = fmt.Errorf("%s owns it", now.Node)
		}
		return err
	})
}
