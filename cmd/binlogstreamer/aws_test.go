package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// identities are the places where a daemon in AWS has its credentials from, each with what leads the SDK there.
var identities = []struct {
	name, key, source string
	set               func(t *testing.T, f *testservers.FakeAWS)
}{
	{"ECS task", "AKIDTASK", "CredentialsEndpointProvider", func(t *testing.T, f *testservers.FakeAWS) {
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f.URL+"/task-credentials")
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hushauthorization")
	}},
	{"EC2 instance", "AKIDMACHINE", "EC2RoleProvider", func(t *testing.T, f *testservers.FakeAWS) {
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f.URL)
	}},
	{"web identity", "AKIDWEB", "WebIdentityCredentials", webIdentity},
}

func webIdentity(t *testing.T, _ *testservers.FakeAWS) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hushidentity"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/role")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
}

// TestCredentialsOfTheMachine: the clients of all services sign with what the task, the machine or the identity provider
// has for this daemon, and nothing of it is printed.
func TestCredentialsOfTheMachine(t *testing.T) {
	for _, id := range identities {
		t.Run(id.name, func(t *testing.T) {
			f := testservers.NewFakeAWS(t)
			id.set(t, f)
			f.Put("tickets/db", "AWSCURRENT", `{"host":"127.0.0.1","port":1,"username":"repl","password":"hush"}`)
			file := rewrite(t, writeConfig(t, ""), map[string]string{
				"source:":     "source: {secrets_manager_secret_id: tickets/db, tls: disabled}",
				"stream:":     "stream: {name: tickets, region: eu-west-1}",
				"delivery:":   `delivery: {destination: "s3://tickets", use_path_style: true}`,
				"checkpoint:": `checkpoint: {store: "dynamodb://tickets"}`,
			})
			r := invoke(t, "check", "-c", file)
			for _, want := range []string{"ok    aws credentials       from " + id.source, ", to be renewed at ", "ok    login                 from secret tickets/db"} {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("it does not say %q:\n%s", want, r.stdout)
				}
			}
			if strings.Contains(r.stdout+r.stderr, "hush") {
				t.Errorf("a secret is printed:\n%s\n%s", r.stdout, r.stderr)
			}
			services := map[string]bool{}
			for _, s := range f.Seen() {
				services[s.Service] = true
				if !strings.HasPrefix(s.Key, id.key) || !strings.HasPrefix(s.Token, "hushtoken"+id.key) {
					t.Errorf("%s was asked with %s", s.Service, s.Key)
				}
			}
			for _, service := range []string{"secretsmanager", "kinesis", "s3", "dynamodb"} {
				if !services[service] {
					t.Errorf("%s was not asked: %v\n%s", service, services, r.stdout)
				}
			}
		})
	}
}

// TestCredentialsAreRenewedBeforeTheirEnd: those that are good for four more minutes are not used for a second request,
// those that are good for an hour are.
func TestCredentialsAreRenewedBeforeTheirEnd(t *testing.T) {
	for _, id := range identities {
		t.Run(id.name, func(t *testing.T) {
			f := testservers.NewFakeAWS(t)
			id.set(t, f)
			f.Put("db", "AWSCURRENT", "hush")
			c, err := loadAWS(t.Context(), &config.Pipeline{}, "source", "eu-west-1", "")
			if err != nil {
				t.Fatal(err)
			}
			api := secretsmanager.NewFromConfig(c)
			f.Live(50 * time.Minute)
			creds, err := c.Credentials.Retrieve(t.Context())
			if left := time.Until(creds.Expires); err != nil || left > 45*time.Minute || left < 44*time.Minute {
				t.Errorf("those that are good for 50 minutes are renewed in %s, %v", left, err)
			}
			if id.key == "AKIDMACHINE" {
				return // the SDK trusts the machine to have newer ones in time, and does not ask for those of less than a quarter of an hour again
			}
			c.Credentials.(*aws.CredentialsCache).Invalidate()
			f.Live(4 * time.Minute)
			for i := range 4 {
				if i == 2 {
					f.Live(time.Hour)
				}
				if _, err := api.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("db"), VersionStage: aws.String("AWSCURRENT")}); err != nil {
					t.Fatal(err)
				}
			}
			var keys []string
			for _, s := range f.Seen() {
				keys = append(keys, s.Key)
			}
			want := []string{id.key + "2", id.key + "3", id.key + "4", id.key + "4"}
			if !slices.Equal(keys, want) {
				t.Errorf("signed with %v, want %v", keys, want)
			}
		})
	}
}

// rewrite replaces lines of a configuration by what they begin with.
func rewrite(t *testing.T, file string, with map[string]string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		for start, other := range with {
			if strings.HasPrefix(line, start) {
				lines[i] = other
				delete(with, start)
			}
		}
	}
	if len(with) > 0 {
		t.Fatalf("no lines begin with %v", with)
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
