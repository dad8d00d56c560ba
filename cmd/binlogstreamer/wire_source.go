package main

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/rdsca"
	"github.com/binlogstreamer/binlogstreamer/internal/secrets"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// logins are what hands out the source's logins and can say where it has them from.
type logins interface {
	source.Logins
	Describe(ctx context.Context) (string, error)
}

// makeSource is how the server is reached, and entered: everything that connects to it does so with this.
func makeSource(ctx context.Context, cfg *config.Pipeline, log *slog.Logger) (source.Config, error) {
	s := &cfg.Source
	c := source.Config{
		Host: s.Host, Port: uint16(s.Port), User: s.User,
		TLS: source.TLSMode(s.TLS), TLSCA: s.TLSCA, TLSCert: s.TLSCert, TLSKey: s.TLSKey,
		ConnectTimeout: s.ConnectTimeout,
	}
	if s.TLSCA == config.RDSBundle {
		c.TLSCA, c.TLSRoots = "", makeBundle(cfg, log)
	}
	l, err := makeLogins(ctx, cfg, log)
	switch {
	case err != nil:
		return c, err
	case l != nil:
		c.Logins = l
	default:
		c.Password = func(context.Context) (string, error) { return s.Password.Reveal(), nil }
	}
	return c, nil
}

// makeLogins is where the source's password comes from; nil: it stands in the configuration.
func makeLogins(ctx context.Context, cfg *config.Pipeline, log *slog.Logger) (logins, error) {
	s := &cfg.Source
	o := secrets.Options{PasswordKey: s.PasswordKey, Refresh: s.SecretRefresh, Log: log}
	if s.PasswordFile != "" {
		return secrets.File(s.PasswordFile, o), nil
	}
	if s.SecretID == "" && s.ParameterName == "" && !s.IAM {
		return nil, nil
	}
	awsConfig, err := sourceAWS(ctx, cfg)
	switch {
	case err != nil:
		return nil, err
	case s.SecretID != "":
		return secrets.Manager(awsConfig, s.SecretID, o), nil
	case s.ParameterName != "":
		return secrets.Parameter(awsConfig, s.ParameterName, o), nil
	}
	return &secrets.Token{Credentials: awsConfig.Credentials, Region: awsConfig.Region, Host: s.Host, Port: uint16(s.Port), User: s.User}, nil
}

// sourceAWS is how AWS is asked for what the source's login takes.
func sourceAWS(ctx context.Context, cfg *config.Pipeline) (aws.Config, error) {
	return loadAWS(ctx, cfg, "source", loginRegion(cfg), "")
}

// loginRegion is the region that what the login takes is in.
func loginRegion(cfg *config.Pipeline) string {
	return cmp.Or(secrets.Region(cfg.Source.SecretID), secrets.Region(cfg.Source.ParameterName), sourceRegion(cfg))
}

// sourceRegion is the region that the server is in, as far as the configuration tells.
func sourceRegion(cfg *config.Pipeline) string {
	return cmp.Or(cfg.Source.Region, source.RDSRegion(cfg.Source.Host), cfg.Stream.Region)
}

// makeBundle gets the authorities of RDS. They are kept beside the checkpoints, where these are in a folder.
func makeBundle(cfg *config.Pipeline, log *slog.Logger) *rdsca.Bundle {
	var file string
	if dir := cfg.Checkpoint.Store.Dir; dir != "" {
		file = filepath.Join(filepath.Dir(dir), "rds-global-bundle.pem")
	}
	return rdsca.New(rdsca.URL(sourceRegion(cfg)), file, log)
}
