package watchdog

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched runs a program under a watchdog for an hour, and returns when it was ended and
// with which sentence; "" if it was not.
func watched(t *testing.T, program func(context.Context, *Watchdog)) (sentence string, after time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		w := &Watchdog{}
		go program(ctx, w)
		synctest.Wait()
		w.Run(ctx, func(err error) { sentence, after = err.Error(), time.Since(began) })
		cancel()
		synctest.Wait()
	})
	return sentence, after
}

// passes has a loop make a pass each period. The pass at hangsAt does not end.
func passes(ctx context.Context, l *Loop, period, hangsAt time.Duration) {
	for began := time.Now(); ctx.Err() == nil; {
		l.Begin()
		if time.Since(began) >= hangsAt {
			<-ctx.Done()
		}
		l.End()
		select {
		case <-ctx.Done():
		case <-time.After(period):
		}
	}
	l.Remove()
}

func TestRun(t *testing.T) {
	const never = 2 * time.Hour
	for _, tt := range []struct {
		name     string
		program  func(context.Context, *Watchdog)
		want     string
		from, to time.Duration
	}{
		{name: "no loops", program: func(context.Context, *Watchdog) {}},
		{name: "loop with a pass now and then", program: func(ctx context.Context, w *Watchdog) { passes(ctx, w.AddLoop("a"), time.Second, never) }},
		{name: "loop that waits for an hour", program: func(ctx context.Context, w *Watchdog) { passes(ctx, w.AddLoop("a"), never, never) }},
		{name: "pass of 55 s", program: func(_ context.Context, w *Watchdog) {
			l := w.AddLoop("a")
			l.Begin()
			time.AfterFunc(55*time.Second, l.End)
		}},
		{
			name: "loop that hangs at its tenth minute", program: func(ctx context.Context, w *Watchdog) {
				go passes(ctx, w.AddLoop("b"), time.Second, never)
				passes(ctx, w.AddLoop("a"), time.Second, 10*time.Minute)
			},
			want: "a hangs: no progress for over 1m0s. The program ends, and the kubelet starts it again. Report this problem to the lbstack project, with the goroutines in the log of the container",
			from: 11 * time.Minute, to: 11*time.Minute + 2*tickInterval,
		},
		{name: "loop that ended in the middle of a pass", program: func(_ context.Context, w *Watchdog) {
			l := w.AddLoop("a")
			l.Begin()
			l.Remove()
		}},
		{
			name: "check that names something all the time", program: func(_ context.Context, w *Watchdog) { w.AddCheck(func() []string { return []string{"c"} }) },
			want: "c hangs: no progress for over 1m0s. The program ends, and the kubelet starts it again. Report this problem to the lbstack project, with the goroutines in the log of the container",
			from: time.Minute, to: time.Minute + 2*tickInterval,
		},
		{name: "without a watchdog loops are marked in vain", program: func(ctx context.Context, _ *Watchdog) {
			passes(ctx, (*Watchdog)(nil).AddLoop("a"), time.Second, 0)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, after := watched(t, tt.program)
			if got != tt.want || after < tt.from || after > tt.to {
				t.Errorf("got %q after %s\nwant %q between %s and %s", got, after, tt.want, tt.from, tt.to)
			}
		})
	}
}
