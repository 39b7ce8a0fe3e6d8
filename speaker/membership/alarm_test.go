package membership

import (
	"context"
	"testing"
	"time"
)

func TestAlarmsRingInTimeAndEndWithTheirContext(t *testing.T) {
	for name, a := range map[string]alarm{"Go's": goAlarm{}, "the kernel's": newAlarm()} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			context.AfterFunc(ctx, a.end)
			for _, d := range []time.Duration{0, time.Microsecond, 3 * time.Millisecond} {
				begun := time.Now()
				if !a.wait(ctx, d) {
					t.Errorf("%s: it ended", d)
				}
				if took := time.Since(begun); took < d {
					t.Errorf("it rang after %s, want %s", took, d)
				}
			}
			time.AfterFunc(time.Millisecond, cancel)
			if a.wait(ctx, time.Hour) {
				t.Error("it rang although its context ended")
			}
			if a.wait(ctx, time.Hour) {
				t.Error("it rang after its end")
			}
		})
	}
	if _, ok := newAlarm().(*kernelAlarm); !ok {
		t.Error("the kernel gave no timer")
	}
}
