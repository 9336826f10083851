package kafka

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// changelogProblems checks the choice of a changelog, which must be none of the other topics.
func changelogProblems(topic string, others ...string) []string {
	if topic == "" || !slices.Contains(others, topic) {
		return nil
	}
	return []string{fmt.Sprintf("changelog_topic is %q, which has another use; name a topic of its own", topic)}
}

// checkSeed refuses a changelog of hashes that no other store can use.
func checkSeed(topic string, s store) error {
	if _, shared := s.HashID(); topic == "" || shared {
		return nil
	}
	return &ConfigError{Problems: []string{"changelog_topic needs the engine's Seed (hash_seed): the changelog holds hashes, and a store that " +
		"restores from it must have the same; a seed made with the store is lost with it. The one of an existing store is in its file NOECHO"}}
}

// checkChangelog is the changelog's part of Preflight.
func (m *member) checkChangelog(ctx context.Context, adm *kadm.Client) error {
	topic := m.cfg.ChangelogTopic
	if topic == "" {
		return nil
	}
	in, err := partitionsOf(ctx, adm, m.cfg.Input, "create it, or name the topic to read")
	if err != nil {
		return err
	}
	got, err := partitionsOf(ctx, adm, topic, fmt.Sprintf("create it with as many partitions as the input has (%d), cleanup.policy=delete and the retention of the window", in))
	if err != nil {
		return err
	}
	if got < in {
		return &TopicError{Topic: topic, Err: fmt.Errorf("it has %d partitions, the input has %d", got, in),
			Hint: fmt.Sprintf("marks keep their partition's number, so give it at least %d", in)}
	}
	return m.checkRetention(ctx, adm, topic)
}

// checkRetention refuses a changelog that is compacted, and says so where it keeps less than the window.
func (m *member) checkRetention(ctx context.Context, adm *kadm.Client, topic string) error {
	configs, err := adm.DescribeTopicConfigs(ctx, topic)
	config, onErr := configs.On(topic, nil)
	if err != nil || onErr != nil || config.Err != nil {
		m.log.Info("configs of the changelog are not known; its retention is not checked", "topic", topic, "cause", worse(err, worse(onErr, config.Err)))
		return nil
	}
	for _, entry := range config.Configs {
		if entry.Value == nil {
			continue
		}
		switch value := *entry.Value; entry.Key {
		case "cleanup.policy":
			if value != "delete" {
				return &TopicError{Topic: topic, Err: fmt.Errorf("its cleanup.policy is %s", value),
					Hint: "its records have no keys and cannot be compacted; set cleanup.policy=delete"}
			}
		case "retention.ms":
			window, buckets := m.store.Window()
			least := (window + window/time.Duration(buckets)).Milliseconds()
			if ms, err := strconv.ParseInt(value, 10, 64); err == nil && ms >= 0 && ms < least {
				m.log.Warn("the changelog keeps less than the window: what it lacks is learned from the input", "topic", topic,
					"retention_ms", ms, "needed_ms", least)
			}
		}
	}
	return nil
}
