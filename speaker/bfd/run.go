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
	defer e.options.Passes.Remove()
	timer := time.NewTimer(0)
	defer timer.Stop()
	signalled := false
	e.options.Passes.Begin()
	for {
		e.mu.Lock()
		e.applyWanted(ctx, time.Now())
		e.tick(ctx, time.Now())
		next, any := e.queue.firstTime()
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
			a arrivedPacket
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
			e.handleSocketError(b)
		}
		if a.From.IsValid() {
			e.receive(a)
		}
		e.drainArrived()
	}
}

// drainArrived handles the packets that have already arrived, so that no session is declared down while
// its packet waits. It handles at most as many packets as fit into the channel: a host that keeps
// sending must not delay the other sessions.
func (e *Engine) drainArrived() {
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
		e.removeSession(w)
	}
	e.closeUnusedListeners()
}

// applyWanted makes the sessions match the wanted sessions.
func (e *Engine) applyWanted(ctx context.Context, now time.Time) {
	if !e.wantedChanged {
		return
	}
	e.wantedChanged = false
	for key, w := range e.sessions {
		if _, wanted := e.wanted[key]; !wanted && w.adminDownsLeft == 0 {
			e.beginAdminDown(w, now)
		}
	}
	for key, p := range e.wanted {
		w, known := e.sessions[key]
		switch {
		case !known:
			e.addSession(ctx, key, p, now)
			continue
		case w.adminDownsLeft > 0: // the session is ending, and is wanted again
			w.adminDownsLeft = 0
			w.machine.SetAdminDown(now, false)
		}
		if p.WithDefaults() != w.machine.Profile() {
			e.options.Log.V(1).Info("the profile of a BFD session changes", w.logValues()...)
			w.machine.SetProfile(p)
		}
		e.recordStatus(w, now)
	}
	e.closeUnusedListeners()
}

func (e *Engine) addSession(ctx context.Context, key Key, p bfd.Profile, now time.Time) {
	w := e.newWatchedSession(key, p, now)
	e.sessions[key], e.byDiscriminator[w.machine.Discriminator()] = w, w
	e.options.Metrics.addSessions(w.reported.State, 1)
	e.openSockets(ctx, w, now)
	e.recordStatus(w, now)
}

// beginAdminDown begins to end a session: it sends the first AdminDown.
func (e *Engine) beginAdminDown(w *watchedSession, now time.Time) {
	if !w.started {
		e.removeSession(w)
		return
	}
	w.adminDownsLeft, w.nextAdminDown = adminDownRepeats, now
	e.send(w, now, w.machine.SetAdminDown(now, true))
	e.noteAdminDownSent(w, now)
}

// noteAdminDownSent removes the session after the last AdminDown, or sets the time of the next AdminDown.
func (e *Engine) noteAdminDownSent(w *watchedSession, now time.Time) {
	if w.adminDownsLeft--; w.adminDownsLeft == 0 {
		e.removeSession(w)
		return
	}
	w.nextAdminDown = now.Add(adminDownInterval)
	e.recordStatus(w, now)
}

func (e *Engine) removeSession(w *watchedSession) {
	if w.sender != nil {
		w.sender.Close()
	}
	e.queue.remove(w)
	e.options.Metrics.addSessions(w.reported.State, -1)
	delete(e.sessions, w.key)
	delete(e.byDiscriminator, w.machine.Discriminator())
}

// tick handles all sessions for which something is due.
func (e *Engine) tick(ctx context.Context, now time.Time) {
	removed := false
	for {
		w := e.queue.takeDue(now)
		if w == nil {
			break
		}
		if now.Sub(w.due) > lateTickDelay && now.Sub(w.queued) > lateTickDelay {
			e.options.Metrics.late.Inc()
		}
		if w.started {
			e.send(w, now, w.machine.Tick(now))
		}
		if !w.retry.IsZero() && !now.Before(w.retry) {
			e.openSockets(ctx, w, now)
		}
		if w.adminDownsLeft > 0 && !now.Before(w.nextAdminDown) {
			e.send(w, now, w.machine.RepeatState(now))
			e.noteAdminDownSent(w, now)
			removed = removed || w.adminDownsLeft == 0
			continue
		}
		e.recordStatus(w, now)
	}
	if removed {
		e.closeUnusedListeners()
	}
}

// recordStatus records the changed status of a session, and when something is due for the session next.
func (e *Engine) recordStatus(w *watchedSession, now time.Time) {
	if s := w.status(); w.adminDownsLeft == 0 {
		if hasStatusChanged(w.reported, s) {
			e.changes = append(e.changes, statusChange{w.key, s})
			e.logChange(w, s)
		}
	}
	e.options.Metrics.countChanges(w.reported.Status, w.machine.Status())
	w.reported = w.status()
	at, due := w.nextDue()
	e.queue.set(w, at, due, now)
}

func hasStatusChanged(before, after Status) bool {
	return before.State != after.State || before.Problem != after.Problem || before.Failed != after.Failed ||
		before.IsRemoteAdminDown() != after.IsRemoteAdminDown()
}

// logChange logs changes of the status that matter to administrators.
func (e *Engine) logChange(w *watchedSession, s Status) {
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
