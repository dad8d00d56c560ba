// Command binlogstreamer replicates MySQL and MariaDB tables through Kinesis to S3: what AWS DMS and Amazon Data
// Firehose do, in one process or two. This package holds the command line, the signals, the exit codes, and the
// wiring of the parts; it is the only one that knows all of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	_ "time/tzdata" // object names may want a time zone on a machine that has none
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// cli is the command line. The commands' own flags stand beside their code.
type cli struct {
	Run         runCmd         `cmd:"" help:"Run both halves in one process: MySQL to Kinesis to S3."`
	Replicate   replicateCmd   `cmd:"" help:"Run the first half: MySQL to Kinesis."`
	Deliver     deliverCmd     `cmd:"" help:"Run the second half: Kinesis to S3."`
	Check       checkCmd       `cmd:"" help:"Check settings, source, privileges, binlog, stream and destination, and say what cures what is wrong."`
	Status      statusCmd      `cmd:"" help:"Print what a running daemon's status page shows."`
	Pause       pauseCmd       `cmd:"" help:"Have a running daemon take nothing in, until it is resumed."`
	Resume      resumeCmd      `cmd:"" help:"End a pause."`
	Verify      verifyCmd      `cmd:"" help:"Replay what was delivered and compare it with the tables, while both go on; name the rows that differ."`
	ReloadTable reloadCmd      `cmd:"" help:"Have a running replicate send all rows of a table again."`
	Demo        demoCmd        `cmd:"" help:"Show the whole pipeline on this machine, without an AWS account."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
	Healthcheck healthcheckCmd `cmd:"" hidden:"" help:"Ask a running daemon whether it is alive."`
}

// configFlag is the flag that commands with a configuration have.
type configFlag struct {
	Config string `short:"c" default:"pipeline.yaml" placeholder:"FILE" help:"The configuration (default: pipeline.yaml); env:NAME is the text of an environment variable."`
}

// app is what a command needs of the world around it.
type app struct {
	ctx            context.Context // done at the first signal
	stdout, stderr io.Writer
}

// execute runs one command and returns the exit code. It is main without the process, for tests. Several goroutines may write
// to stderr at a time, as they may to a file.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command, err := parse(args, stdout, stderr)
	if err != nil {
		return finish(err, stderr)
	}
	ctx, stop := withSignals(ctx, stderr)
	defer stop()
	return finish(command.Run(&app{ctx: ctx, stdout: stdout, stderr: stderr}), stderr)
}

// errHelp ends a command line that asked for help and got it.
var errHelp = errors.New("help was shown")

func parse(args []string, stdout, stderr io.Writer) (_ *kong.Context, err error) {
	parser, err := kong.New(&cli{},
		kong.Name("binlogstreamer"),
		kong.Description("MySQL to Kinesis to S3, as AWS DMS and Amazon Data Firehose do it, in one daemon.\n\nExit codes: 0 done, 1 failed, 2 usage or configuration, 3 faults found by check or verify, 75 temporarily unable to go on."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { panic(errHelp) }), // kong goes on parsing unless Exit doesn't return
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return nil, err
	}
	defer func() {
		switch r := recover(); {
		case r == nil:
		case r == any(errHelp):
			err = errHelp
		default:
			panic(r)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		return nil, &usageError{fmt.Errorf("%w; see binlogstreamer --help", err)}
	}
	return command, nil
}
