import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/** The usual deduplicator: a window store of the keys seen, with a changelog. Arguments: brokers, input, output, id, guarantee, state dir, linger ms. */
public class Dedup {
  static final Duration WINDOW = Duration.ofHours(24);

  static class Seen implements Processor<Bytes, byte[], Bytes, byte[]> {
    private ProcessorContext<Bytes, byte[]> context;
    private WindowStore<Bytes, Long> seen;

    @Override
    public void init(ProcessorContext<Bytes, byte[]> context) {
      this.context = context;
      seen = context.getStateStore("seen");
    }

    @Override
    public void process(Record<Bytes, byte[]> record) {
      long t = record.timestamp();
      try (var found = seen.fetch(record.key(), t - WINDOW.toMillis(), t + WINDOW.toMillis())) {
        if (found.hasNext()) {
          return;
        }
      }
      seen.put(record.key(), 1L, t);
      context.forward(record);
    }
  }

  public static void main(String[] args) throws Exception {
    Properties p = new Properties();
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, args[3]);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, args[4]);
    p.put(StreamsConfig.STATE_DIR_CONFIG, args[5]);
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Runtime.getRuntime().availableProcessors());
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    p.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), args[6]);
    p.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "snappy");

    StreamsBuilder b = new StreamsBuilder();
    b.addStateStore(Stores.windowStoreBuilder(Stores.persistentWindowStore("seen", WINDOW, WINDOW, false), Serdes.Bytes(), Serdes.Long()));
    b.stream(args[1], Consumed.with(Serdes.Bytes(), Serdes.ByteArray()))
        .process(Seen::new, "seen")
        .to(args[2], Produced.with(Serdes.Bytes(), Serdes.ByteArray()));

    KafkaStreams streams = new KafkaStreams(b.build(), p);
    CountDownLatch end = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(e -> {
      e.printStackTrace();
      end.countDown();
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      streams.close(Duration.ofSeconds(20));
      Runtime.getRuntime().halt(0); // SIGTERM was asked for: it is no failure
    }));
    streams.start();
    end.await();
  }
}
