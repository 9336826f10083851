import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** java Produce BROKERS TOPIC ORDER...: sends the orders; one that is named twice is a retry. */
final class Produce {
    public static void main(String[] args) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", args[0]);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int i = 2; i < args.length; i++) {
                String order = args[i];
                // The attempt makes every payload another one; the id is the order's alone.
                String value = "{\"order\":{\"id\":\"" + order + "\"},\"attempt\":\"java-" + i + "\"}";
                var record = new ProducerRecord<>(args[1], order, value);
                String id = Stamp.id("json:order.id", order.getBytes(StandardCharsets.UTF_8));
                record.headers().add(Stamp.HEADER, id.getBytes(StandardCharsets.UTF_8));
                producer.send(record).get();
            }
        }
    }
}
