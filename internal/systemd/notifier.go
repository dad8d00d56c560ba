package systemd

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Config holds what a Notifier needs. Its functions are called from Run alone, one at a time; one that does not return keeps
// the watchdog from being fed, which is as it should be.
type Config struct {
	Up       func() bool     // the daemon has started: READY=1 is sent, once
	Stuck    func() []string // what should move and does not; nothing while all is well
	Status   func() string   // what the daemon does, in a line
	Stopping <-chan struct{} // closed when the daemon is told to stop
	Stop     time.Duration   // how long that may take
	Log      *slog.Logger
	Every    time.Duration // between looks; default 1 s
}

// Notifier is the daemon's side of the conversation with the service manager, which never answers.
type Notifier struct {
	cfg      Config
	watchdog time.Duration // what the service manager waits for a sign of life; 0: it does not

	mu     sync.Mutex // covers what follows
	up     bool
	failed bool   // the last message could not be sent
	status string // as it was sent last

	// Of Run's goroutine:
	stuck  bool
	fed    time.Time
	told   time.Time // when the status was sent
	asked  time.Time // for more time to start
	ending bool
}

// startMore is how much more time to start is asked for at a time, and statusEvery how often the status is sent anew.
const (
	startMore   = time.Minute
	statusEvery = 5 * time.Second
)

// New makes a Notifier. A watchdog of another process, or one whose time can't be read, is none.
func New(cfg Config) *Notifier {
	cfg.Every = cmp.Or(cfg.Every, time.Second)
	n := &Notifier{cfg: cfg}
	var err error
	if n.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		cfg.Log.Error("the service manager's watchdog is not fed: WATCHDOG_USEC can't be read", "error", err)
	}
	return n
}

// Wanted says whether there is a service manager that listens.
func Wanted() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// Run sends what there is to say until ctx is done, and then that the daemon stops.
func (n *Notifier) Run(ctx context.Context) error {
	tick := time.NewTicker(n.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-n.cfg.Stopping:
			n.stop()
			n.feed(time.Now()) // the grace bounds what is left to do, and after it the service manager
		default:
			n.look(time.Now())
		}
		select {
		case <-ctx.Done():
			n.stop()
			return nil
		case <-tick.C:
		case <-n.awaitStop():
		}
	}
}

// awaitStop is closed when the daemon is told to stop, and nil once that is known.
func (n *Notifier) awaitStop() <-chan struct{} {
	if n.ending {
		return nil
	}
	return n.cfg.Stopping
}

// look is one round while the daemon starts or works.
func (n *Notifier) look(now time.Time) {
	n.judge(n.cfg.Stuck())
	up := n.isUp()
	if !up && n.cfg.Up() {
		up = true
		n.ready(n.cfg.Status())
		n.told = now
	}
	if !n.stuck {
		n.feed(now)
		if !up && now.Sub(n.asked) >= startMore/3 { // to start may take as long as the source is away
			n.send(more(startMore))
			n.asked = now
		}
	}
	if now.Sub(n.told) >= statusEvery {
		n.tell(n.cfg.Status())
		n.told = now
	}
}

// judge notes, and announces once, that something is stuck or moves again.
func (n *Notifier) judge(what []string) {
	switch stuck := len(what) > 0; {
	case stuck && !n.stuck:
		n.cfg.Log.Error("something does not move any more, and nothing outside is the reason; the watchdog is not fed", "stuck", what)
	case !stuck && n.stuck:
		n.cfg.Log.Info("everything moves again")
	}
	n.stuck = len(what) > 0
}

// feed tells the watchdog that all is well, three times in the time that it waits.
func (n *Notifier) feed(now time.Time) {
	if n.watchdog > 0 && now.Sub(n.fed) >= n.watchdog/3-n.cfg.Every {
		n.send(daemon.SdNotifyWatchdog)
		n.fed = now
	}
}

// stop says, once, that the daemon stops, and how long that may take.
func (n *Notifier) stop() {
	if !n.ending {
		n.ending = true
		n.send(daemon.SdNotifyStopping, "STATUS=stopping: flushing and saving", more(n.cfg.Stop))
	}
}

func (n *Notifier) isUp() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up
}

func (n *Notifier) ready(status string) {
	n.mu.Lock()
	n.up, n.status = true, status
	n.mu.Unlock()
	n.send(daemon.SdNotifyReady, "STATUS="+status)
}

// tell sends the status if it is another than before.
func (n *Notifier) tell(status string) {
	n.mu.Lock()
	same := n.status == status
	n.status = status
	n.mu.Unlock()
	if !same {
		n.send("STATUS=" + status)
	}
}

// Reload tells that the configuration is being read anew while reload runs, and of what came of it. It may be called from
// any goroutine, also before the daemon is up: then there is nothing to tell yet.
func (n *Notifier) Reload(reload func() (result string)) {
	if !n.isUp() {
		reload()
		return
	}
	n.send(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec())
	n.ready(reload())
}

// more asks for time beyond what the unit allows for the phase that the daemon is in.
func more(d time.Duration) string { return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()) }

// send sends assignments in one message. Who does not listen is told of once.
func (n *Notifier) send(assignments ...string) {
	for i, a := range assignments {
		assignments[i] = strings.ReplaceAll(strings.TrimSpace(a), "\n", " ")
	}
	_, err := daemon.SdNotify(false, strings.Join(assignments, "\n"))
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil && !n.failed {
		n.cfg.Log.Warn("the service manager cannot be told how the daemon is", "error", err)
	}
	n.failed = err != nil
}
