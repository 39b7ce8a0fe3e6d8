package bfd

import (
	"context"
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
)

// run is the engine's goroutine.
func (e *Engine) run(ctx context.Context) {
	defer close(e.done)
	defer e.closeAll()
	defer e.options.Passes.Ended()
	timer := time.NewTimer(0)
	defer timer.Stop()
	signalled := false
	e.options.Passes.Begin()
	for {
		e.mu.Lock()
		e.apply(ctx, time.Now())
		e.tick(ctx, time.Now())
		next, any := e.queue.first()
		over, stopping := e.stopping && len(e.sessions) == 0, e.stopping
		changes := e.changes
		e.changes = nil
		e.mu.Unlock()

		if stopping && !signalled {
			signalled = true
			close(e.stopSent)
		}
		for _, c := range changes {
			e.options.Changed(c.key, c.status)
		}
		if over {
			return
		}
		timer.Stop()
		if any {
			timer.Reset(time.Until(next))
		}
		e.options.Passes.End()
		var (
			b socketError
			a arrived
		)
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-timer.C:
		case b = <-e.socketErrors:
		case a = <-e.arrived:
		}
		e.options.Passes.Begin()
		if b.listener != nil {
			e.lost(b)
		}
		if a.From.IsValid() {
			e.receive(a)
		}
		e.drain()
	}
}

// drain handles the packets that have arrived already, before a session is declared down. It handles at
// most as many as fit into the channel: a host that sends without end must not delay the other sessions.
func (e *Engine) drain() {
	for range cap(e.arrived) {
		select {
		case a := <-e.arrived:
			e.receive(a)
		default:
			return
		}
	}
}

func (e *Engine) closeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.sessions {
		e.remove(w)
	}
	e.closeListeners()
}

// apply makes the sessions match the wanted sessions.
func (e *Engine) apply(ctx context.Context, now time.Time) {
	if !e.wantedChanged {
		return
	}
	e.wantedChanged = false
	for key, w := range e.sessions {
		if _, wanted := e.wanted[key]; !wanted && w.adminDownsLeft == 0 {
			e.leave(w, now)
		}
	}
	for key, p := range e.wanted {
		w, known := e.sessions[key]
		switch {
		case !known:
			e.add(ctx, key, p, now)
			continue
		case w.adminDownsLeft > 0: // it is wanted again
			w.adminDownsLeft = 0
			w.machine.SetAdminDown(now, false)
		}
		if p.WithDefaults() != w.machine.Profile() {
			e.options.Log.V(1).Info("the profile of a BFD session changes", w.logValues()...)
			w.machine.SetProfile(p)
		}
		e.settle(w, now)
	}
	e.closeListeners()
}

func (e *Engine) add(ctx context.Context, key Key, p bfd.Profile, now time.Time) {
	w := e.newWatch(key, p, now)
	e.sessions[key], e.byDiscriminator[w.machine.Discriminator()] = w, w
	e.options.Metrics.state(w.reported.State, 1)
	e.open(ctx, w, now)
	e.settle(w, now)
}

// leave begins to end a session: it sends the first AdminDown.
func (e *Engine) leave(w *watch, now time.Time) {
	if !w.started {
		e.remove(w)
		return
	}
	w.adminDownsLeft, w.nextAdminDown = adminDownRepeats, now
	e.send(w, now, w.machine.SetAdminDown(now, true))
	e.adminDownSent(w, now)
}

// adminDownSent removes the session after the last AdminDown, or sets the time of the next AdminDown.
func (e *Engine) adminDownSent(w *watch, now time.Time) {
	if w.adminDownsLeft--; w.adminDownsLeft == 0 {
		e.remove(w)
		return
	}
	w.nextAdminDown = now.Add(adminDownInterval)
	e.settle(w, now)
}

func (e *Engine) remove(w *watch) {
	if w.sender != nil {
		w.sender.Close()
	}
	e.queue.remove(w)
	e.options.Metrics.state(w.reported.State, -1)
	delete(e.sessions, w.key)
	delete(e.byDiscriminator, w.machine.Discriminator())
}

// tick handles all sessions for which something is due.
func (e *Engine) tick(ctx context.Context, now time.Time) {
	removed := false
	for {
		w := e.queue.due(now)
		if w == nil {
			break
		}
		if now.Sub(w.due) > lateAfter && now.Sub(w.queued) > lateAfter {
			e.options.Metrics.late.Inc()
		}
		if w.started {
			e.send(w, now, w.machine.Tick(now))
		}
		if !w.retry.IsZero() && !now.Before(w.retry) {
			e.open(ctx, w, now)
		}
		if w.adminDownsLeft > 0 && !now.Before(w.nextAdminDown) {
			e.send(w, now, w.machine.Repeat(now))
			e.adminDownSent(w, now)
			removed = removed || w.adminDownsLeft == 0
			continue
		}
		e.settle(w, now)
	}
	if removed {
		e.closeListeners()
	}
}

// settle records the changed status of a session, and when something is due for the session next.
func (e *Engine) settle(w *watch, now time.Time) {
	if s := w.status(); w.adminDownsLeft == 0 {
		if statusChanged(w.reported, s) {
			e.changes = append(e.changes, change{w.key, s})
			e.logChange(w, s)
		}
	}
	e.options.Metrics.move(w.reported.Status, w.machine.Status())
	w.reported = w.status()
	at, due := w.next()
	e.queue.set(w, at, due, now)
}

func statusChanged(before, after Status) bool {
	return before.State != after.State || before.Problem != after.Problem || before.Failed != after.Failed ||
		before.RemoteAdminDown() != after.RemoteAdminDown()
}

// logChange logs changes of the status that administrators have to know.
func (e *Engine) logChange(w *watch, s Status) {
	log := e.options.Log.WithValues(w.logValues()...)
	switch {
	case s.Problem != "" && s.Problem != w.reported.Problem:
		log.Info("a BFD session does not work: " + s.Problem)
	case s.State == bfd.Up && w.reported.State != bfd.Up:
		log.Info("a BFD session is up", "detection", s.Detection.String())
	case s.State != bfd.Up && w.reported.State == bfd.Up:
		log.Info("a BFD session is down", "diagnostic", s.Diagnostic.String(), "failure", s.Failed)
	}
}
