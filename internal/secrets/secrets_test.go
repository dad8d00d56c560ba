package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// load is what the SDK makes of the environment, with credentials of nobody and without pauses.
func load(t *testing.T) aws.Config {
	t.Helper()
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DisableKeepAlives = true })
	c, err := awsconfig.LoadDefaultConfig(t.Context(), awsconfig.WithRetryMaxAttempts(1), awsconfig.WithHTTPClient(client),
		awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AKIDSTATIC", "hushsecret", "")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// heard is a log that a test reads. Nothing secret may be in it when the test ends.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func options(t *testing.T) (Options, *heard) {
	t.Helper()
	h := &heard{}
	t.Cleanup(func() { silent(t, h.String()) })
	return Options{Refresh: time.Hour, Log: slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug}))}, h
}

// silent fails the test if something secret was said: in tests all of that begins with hush.
func silent(t *testing.T, said string) {
	t.Helper()
	if strings.Contains(said, "hush") {
		t.Errorf("a secret is told: %s", said)
	}
}

func must(t *testing.T, s source.Logins, refused ...source.Login) source.Login {
	t.Helper()
	l, err := s.Login(t.Context(), refused)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eachStore runs a test on every place that can hold the text of a secret.
func eachStore(t *testing.T, fn func(t *testing.T, s *Store, put func(text string))) {
	for _, kind := range []string{"secret", "parameter", "file"} {
		t.Run(kind, func(t *testing.T) {
			f := testservers.NewFakeAWS(t)
			o, _ := options(t)
			switch kind {
			case "secret":
				fn(t, Manager(load(t), "db", o), func(text string) { f.Put("db", "AWSCURRENT", text) })
			case "parameter":
				fn(t, Parameter(load(t), "db", o), func(text string) { f.PutParameter("db", text) })
			case "file":
				path := filepath.Join(t.TempDir(), "db")
				fn(t, File(path, o), func(text string) {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				})
			}
		})
	}
}

func TestWhatASecretMayHold(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store, put func(string)) {
		for text, want := range map[string]source.Login{
			"hush me":                                {Password: "hush me"},
			"hush me\n":                              {Password: "hush me"},
			"hush me\r\n":                            {Password: "hush me"},
			`{"username":"u","password":"hush\"me"}`: {User: "u", Password: `hush"me`},
			`{"engine":"mysql","host":"h.example.com","username":"u","password":"hush","dbname":"d","port":3307}`: {Host: "h.example.com", Port: 3307, User: "u", Password: "hush"},
			`{"host":"h","username":"u","password":"hush","port":"3308"}`:                                         {Host: "h", Port: 3308, User: "u", Password: "hush"},
		} {
			put(text)
			s.read = time.Time{}
			if got := must(t, s); !got.Same(want) || got.Origin == "" || got.Cure == "" {
				t.Errorf("%s gives %s", text, got)
			}
		}
	})
}

func TestWhatIsNoSecret(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store, put func(string)) {
		for text, want := range map[string]string{
			`{"username":"u","pasword":"hush"}`: "no text under the key password; its keys are: pasword, username; name the password's key in source.secret_password_key",
			`{"password":"hush"`:                "begins like a JSON object",
			`{"password":{"is":"hush"}}`:        "no text under the key password",
			"hush\nhush":                        "several lines",
			"\n":                                "is empty",
		} {
			put(text)
			_, err := s.Login(t.Context(), nil)
			e, ok := errors.AsType[*source.LoginError](err)
			if !ok || !e.Final || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), s.String()) {
				t.Errorf("%q gives %v; want %q", text, err, want)
			}
			silent(t, fmt.Sprint(err))
		}
	})
}

// TestRotation goes through the steps of a rotation as Secrets Manager does it: the server has the new password before the
// label AWSCURRENT is on it.
func TestRotation(t *testing.T) {
	f := testservers.NewFakeAWS(t)
	o, log := options(t)
	s := Manager(load(t), "db", o)
	f.Put("db", "AWSCURRENT", "hush-old")
	first := must(t, s)
	for range 3 {
		must(t, s)
	}
	if n := f.Calls("db AWSCURRENT"); n != 1 || first.Password != "hush-old" || f.Calls("db AWSPENDING") != 0 {
		t.Fatalf("read %d times, %v", n, first)
	}
	// Nothing else is there: the server's refusal stands.
	if _, err := s.Login(t.Context(), []source.Login{first}); !errors.Is(err, source.ErrNoOtherLogin) {
		t.Errorf("%v", err)
	}
	// What the rotation prepares is tried after the present one, and is no reason to forget that.
	f.Put("db", "AWSPENDING", "hush-new")
	next := must(t, s, first)
	if next.Password != "hush-new" || !strings.Contains(next.Version, "AWSPENDING") {
		t.Errorf("%s has %q", next, next.Password)
	}
	if _, err := s.Login(t.Context(), []source.Login{first, next}); !errors.Is(err, source.ErrNoOtherLogin) {
		t.Errorf("%v", err)
	}
	if l := must(t, s); l.Password != "hush-old" {
		t.Errorf("%q", l.Password)
	}
	// The rotation ends: the label moves, and stays on the version in both forms.
	f.Put("db", "AWSCURRENT", "hush-new")
	s.read = time.Now().Add(-justRead)
	if l := must(t, s, first); l.Password != "hush-new" {
		t.Errorf("%q", l.Password)
	}
	if l := must(t, s); l.Password != "hush-new" {
		t.Errorf("%q", l.Password)
	}
	if !strings.Contains(log.String(), "has changed") || !strings.Contains(log.String(), "rotation has under way") {
		t.Errorf("it does not say so: %s", log)
	}
}

// TestReadAgainWhenItIsTime reads without being refused.
func TestReadAgainWhenItIsTime(t *testing.T) {
	f := testservers.NewFakeAWS(t)
	o, log := options(t)
	s := Parameter(load(t), "/db", o)
	f.PutParameter("/db", "hush-1")
	must(t, s)
	f.PutParameter("/db", "hush-2")
	if l := must(t, s); l.Password != "hush-1" {
		t.Errorf("read too early: %q", l.Password)
	}
	s.read = s.read.Add(-time.Hour)
	if l := must(t, s); l.Password != "hush-2" {
		t.Errorf("%q", l.Password)
	}
	// A place that fails is left alone for a while; what is known goes on to be used.
	f.Fail("/db", testservers.Fault{Status: 500, Code: "InternalServerError"})
	s.read = s.read.Add(-time.Hour)
	for range 5 {
		if l := must(t, s); l.Password != "hush-2" {
			t.Errorf("%q", l.Password)
		}
	}
	if n := f.Calls("/db"); n != 3 {
		t.Errorf("read %d times, want 3", n)
	}
	f.Fail("/db", testservers.Fault{})
	s.lost = s.lost.Add(-pause)
	must(t, s)
	for _, want := range []string{" fails; trying again", " works again"} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("it says %d times %q: %s", n, want, log)
		}
	}
}

// TestManyAreRefusedAtOnce: one of them reads, the others take what it has read.
func TestManyAreRefusedAtOnce(t *testing.T) {
	f := testservers.NewFakeAWS(t)
	o, _ := options(t)
	s := Manager(load(t), "db", o)
	f.Put("db", "AWSCURRENT", "hush-old")
	old := must(t, s)
	s.read = s.read.Add(-justRead)
	f.Put("db", "AWSCURRENT", "hush-new")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if l, err := s.Login(t.Context(), []source.Login{old}); err != nil || l.Password != "hush-new" {
				t.Errorf("%v, %v", l, err)
			}
		})
	}
	all.Wait()
	if n := f.Calls("db AWSCURRENT"); n != 2 {
		t.Errorf("read %d times, want 2", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.turn <- struct{}{}
	if _, err := s.Login(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a turn: %v", err)
	}
}

// TestFailuresNameTheCure: what AWS refuses is final, what passes by itself is not.
func TestFailuresNameTheCure(t *testing.T) {
	f := testservers.NewFakeAWS(t)
	o, _ := options(t)
	for _, c := range []struct {
		name  string
		fault testservers.Fault
		final bool
		want  []string // of both
		each  [2]string
	}{
		{"denied", testservers.Fault{Status: 400, Code: "AccessDeniedException", Message: "User: arn:aws:sts::1:assumed-role/r/s is not authorized"}, true,
			[]string{"AccessDeniedException: User:", "allow the daemon's role", "kms:Decrypt"},
			[2]string{"secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu-west-1:ACCOUNT:secret:tickets/db-??????", "ssm:GetParameter on arn:aws:ssm:eu-west-1:ACCOUNT:parameter/tickets/db"}},
		{"key denied", testservers.Fault{Status: 400, Code: "AccessDeniedException", Message: "Access to KMS is not allowed"}, true, []string{"allow the daemon's role kms:Decrypt on the key"}, [2]string{}},
		{"not there", testservers.Fault{}, true, []string{"in region eu-west-1"}, [2]string{"source.secrets_manager_secret_id", "source.ssm_parameter_name"}},
		{"throttled", testservers.Fault{Status: 400, Code: "ThrottlingException", Message: "Rate exceeded"}, false, []string{"ThrottlingException"}, [2]string{}},
		{"in trouble", testservers.Fault{Status: 500, Code: "InternalServiceError"}, false, []string{"InternalServiceError"}, [2]string{}},
		{"expired", testservers.Fault{Status: 400, Code: "ExpiredTokenException"}, false, []string{"check the AWS credentials"}, [2]string{}},
		{"wrong keys", testservers.Fault{Status: 400, Code: "UnrecognizedClientException"}, true, []string{"check the AWS credentials"}, [2]string{}},
	} {
		f.Fail("tickets/db", c.fault)
		for i, s := range []*Store{Manager(load(t), "tickets/db", o), Parameter(load(t), "tickets/db", o)} {
			_, err := s.Login(t.Context(), nil)
			e, ok := errors.AsType[*source.LoginError](err)
			if !ok || e.Final != c.final || source.Refused(err) != c.final {
				t.Errorf("%s: %v, final %v", c.name, err, ok && e.Final)
			}
			for _, want := range append(c.want, "tickets/db", c.each[i]) {
				if !strings.Contains(fmt.Sprint(err), want) {
					t.Errorf("%s: %v does not say %q", c.name, err, want)
				}
			}
			if _, same := s.Describe(t.Context()); fmt.Sprint(same) != fmt.Sprint(err) {
				t.Errorf("%s: described as %v", c.name, same)
			}
		}
	}
	f.Fail("tickets/db", testservers.Fault{})
	f.Put("tickets/db", "AWSCURRENT", "binary")
	if _, err := Manager(load(t), "tickets/db", o).Login(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "is binary") {
		t.Errorf("binary: %v", err)
	}
	nobody := load(t)
	nobody.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, &net.OpError{Op: "dial", Err: errors.New("no role here")}
	})
	if _, err := Manager(nobody, "tickets/db", o).Login(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no role here; give the daemon AWS credentials") {
		t.Errorf("without credentials: %v", err)
	}
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1")
	_, err := Manager(load(t), "tickets/db", o).Login(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "com.amazonaws.REGION.secretsmanager") || source.Refused(err) {
		t.Errorf("out of reach: %v", err)
	}
}

func TestFileFailures(t *testing.T) {
	o, _ := options(t)
	path := filepath.Join(t.TempDir(), "password")
	_, err := File(path, o).Login(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "source.password_file") || source.Refused(err) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("hush"), maxFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = File(path, o).Login(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("large: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	f := testservers.NewFakeAWS(t)
	o, _ := options(t)
	f.Put("db", "AWSCURRENT", `{"username":"u","password":"hush"}`)
	found, err := Manager(load(t), "db", o).Describe(t.Context())
	if err != nil || found != "from secret db, version v-34 (AWSCURRENT), with user name u" {
		t.Errorf("%q, %v", found, err)
	}
	if _, err := source.Connect(t.Context(), source.Config{Logins: Manager(load(t), "db", o)}); err == nil || !strings.Contains(err.Error(), "source.host") {
		t.Errorf("without a host: %v", err)
	}
}
