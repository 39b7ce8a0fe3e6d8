// Package logging makes the loggers of all programs. They write one JSON object per line to standard error,
// with zap behind the interface logr.
package logging

import (
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// New returns a logger with the level "error", "info" or "debug", in upper or lower case. The level "debug"
// includes the verbosities 1 and 2 of logr.
func New(level string) (logr.Logger, error) {
	threshold, err := parseLevel(level)
	if err != nil {
		return logr.Discard(), err
	}
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(threshold)
	config.EncoderConfig.TimeKey = "time"
	config.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	config.Sampling = nil // no line is dropped
	config.DisableStacktrace = true
	logger, err := config.Build()
	if err != nil {
		return logr.Discard(), fmt.Errorf("building the logger: %w", err)
	}
	return zapr.NewLogger(logger), nil
}

func parseLevel(level string) (zapcore.Level, error) {
	switch strings.ToLower(level) {
	case "error":
		return zapcore.ErrorLevel, nil
	case "info":
		return zapcore.InfoLevel, nil
	case "debug":
		return zapcore.Level(-2), nil // logr's V(2) and below
	}
	return 0, fmt.Errorf("the log level %q is invalid: use error, info or debug", level)
}
