package pipeline

import (
	"sync"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// life is what is known of a half from outside its sessions. Its methods may be called from any goroutine.
type life struct {
	mu      sync.Mutex // covers what follows
	alive   bool       // a session runs, or begins
	session *session   // once it has reached the source; replicate's only
	sitting bool       // a pause is complete
	saved   replicateDoc
	holder  *checkpoint.LockedError // of the lock that this process stands by for
}

func (l *life) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alive, l.session, l.sitting = true, nil, false
}

func (l *life) reached(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session = s
}

func (l *life) pause(saved replicateDoc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sitting, l.saved = true, saved
}

func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alive, l.session, l.sitting = false, nil, false
}

// stands notes whose lock this process stands by for; nil: no one's.
func (l *life) stands(holder *checkpoint.LockedError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder = holder
}

// standing is the same, as it is reported.
func (l *life) standing() *status.Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == nil {
		return nil
	}
	return &status.Holder{Host: l.holder.Host, PID: l.holder.PID, Since: l.holder.Since}
}

// present is the session that runs, if one has reached the source, and else what is saved, during a pause.
func (l *life) present() (s *session, saved *replicateDoc, alive bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sitting {
		copied := l.saved
		return nil, &copied, false
	}
	return l.session, nil, l.alive
}
