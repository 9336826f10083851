package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	preflightTimeout = 15 * time.Second
	maxMessageConfig = "max.message.bytes"
)

// Preflight asks the brokers what can be asked before anything starts, and returns the first thing that is wrong, in one
// sentence with the remedy: *BrokerError, *TopicError, *PartitionCountError, *MessageSizeError, *ProtocolError, *GroupError or *ScopeError. It writes
// nothing and takes at most 15 s. What the brokers refuse to tell (topic configs without the right to read them) is no
// error.
func (r *Relay) Preflight(ctx context.Context) error {
	return r.preflight(ctx, func(ctx context.Context, adm *kadm.Client) error {
		if err := r.checkTopics(ctx, adm); err != nil {
			return err
		}
		if err := r.checkSizes(ctx, adm); err != nil {
			return err
		}
		if err := r.checkChangelog(ctx, adm); err != nil {
			return err
		}
		return r.checkDuplicates(ctx, adm)
	})
}

// preflight asks whether brokers answer, then what check asks, then for the group.
func (m *member) preflight(ctx context.Context, check func(context.Context, *kadm.Client) error) error {
	return m.ask(ctx, func(ctx context.Context, cl *kgo.Client) error {
		if err := cl.Ping(ctx); err != nil {
			return &BrokerError{Err: err}
		}
		adm := kadm.NewClient(cl)
		if err := check(ctx, adm); err != nil {
			return err
		}
		if err := m.checkProtocol(ctx, cl); err != nil {
			return err
		}
		return m.checkGroup(ctx, adm)
	})
}

// ask gives questions a client of their own, which is in no group, and preflightTimeout.
func (m *member) ask(ctx context.Context, questions func(context.Context, *kgo.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	cl, err := kgo.NewClient(m.cfg.Client...)
	if err != nil {
		return &ConfigError{Problems: []string{"client: " + err.Error()}}
	}
	defer cl.Close()
	return questions(ctx, cl)
}

// checkGroup asks for the group's offsets. A cluster nobody has committed to yet makes the topic for them at this very
// question, and says for some seconds that there is no coordinator: that passes, and is waited for.
func (m *member) checkGroup(ctx context.Context, adm *kadm.Client) error {
	for {
		_, err := adm.FetchOffsets(ctx, m.cfg.Group)
		if err == nil || errors.Is(err, kerr.GroupIDNotFound) {
			return m.checkAlone(ctx, adm)
		}
		if fatal := m.fatalGroup(err); fatal != nil {
			return fatal
		}
		if !kerr.IsRetriable(err) {
			return m.coordinatorError(err)
		}
		select {
		case <-ctx.Done():
			return m.coordinatorError(err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (r *Relay) checkTopics(ctx context.Context, adm *kadm.Client) error {
	in, err := partitionsOf(ctx, adm, r.cfg.Input, "create it, or name the topic to read")
	if err != nil {
		return err
	}
	if err := r.checkLearnFrom(in); err != nil {
		return err
	}
	out, err := partitionsOf(ctx, adm, r.cfg.Output, fmt.Sprintf("create it with as many partitions as the input has (%d)", in))
	if err != nil {
		return err
	}
	if out < in {
		return &PartitionCountError{Input: r.cfg.Input, Output: r.cfg.Output, InputN: in, OutputN: out}
	}
	return nil
}

// partitionsOf returns how many partitions a topic has. One request a topic: a refusal does not say which it is about.
func partitionsOf(ctx context.Context, adm *kadm.Client, topic, missing string) (int, error) {
	topics, err := adm.ListTopics(ctx, topic)
	if err == nil {
		if detail, ok := topics[topic]; ok && detail.Err == nil {
			return len(detail.Partitions), nil
		} else if err = detail.Err; err == nil {
			err = kerr.UnknownTopicOrPartition
		}
	}
	switch word := (*kerr.Error)(nil); {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return 0, &TopicError{Topic: topic, Err: errors.New("it does not exist"), Hint: missing}
	case errors.As(err, &word):
		return 0, &TopicError{Topic: topic, Err: err,
			Hint: "check the name and the rights of noecho's user (DESCRIBE and READ, and WRITE where it writes)"}
	}
	return 0, &BrokerError{Err: err}
}

// checkSizes compares the largest batch each topic takes, and notes the output's.
func (r *Relay) checkSizes(ctx context.Context, adm *kadm.Client) error {
	limits, err := messageLimits(ctx, adm, r.cfg.Input, r.cfg.Output)
	in, out := limits[r.cfg.Input], limits[r.cfg.Output]
	if err != nil || in == 0 || out == 0 {
		r.log.Info("topic configs are not known; sizes are not compared", "cause", err)
		return nil
	}
	r.maxMessage.Store(int64(out))
	if out < in {
		return &MessageSizeError{Input: r.cfg.Input, Output: r.cfg.Output, InputBytes: in, OutputBytes: out}
	}
	return nil
}

// learnLimits asks for the output's largest batch where Preflight was not called.
func (r *Relay) learnLimits(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	cl, err := kgo.NewClient(r.cfg.Client...)
	if err != nil {
		return err
	}
	defer cl.Close()
	limits, err := messageLimits(ctx, kadm.NewClient(cl), r.cfg.Output)
	r.maxMessage.Store(int64(limits[r.cfg.Output]))
	return err
}

// messageLimits returns max.message.bytes of the topics; those that are not known are left out.
func messageLimits(ctx context.Context, adm *kadm.Client, topics ...string) (map[string]int, error) {
	limits := make(map[string]int)
	configs, err := adm.DescribeTopicConfigs(ctx, topics...)
	for _, config := range configs {
		if config.Err != nil {
			err = errors.Join(err, config.Err)
			continue
		}
		for _, entry := range config.Configs {
			if entry.Key == maxMessageConfig && entry.Value != nil {
				if n, parseErr := strconv.Atoi(*entry.Value); parseErr == nil {
					limits[config.Name] = n
				}
			}
		}
	}
	return limits, err
}

// coordinatorError says that the group's offsets cannot be had, for a reason that is no setting of ours.
func (m *member) coordinatorError(err error) error {
	return &GroupError{Group: m.cfg.Group, Err: err, Hint: "check that the cluster's group coordinator is up"}
}
