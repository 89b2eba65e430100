package peer;

import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.*;
import org.apache.flink.connector.jdbc.*;
import org.apache.flink.connector.jdbc.core.datastream.sink.*;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.*;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.operators.*;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.*;

/**
 * Kafka to ONNX Runtime to Postgres as one local Flink job: KafkaSource, a batching operator around the model and the JDBC sink,
 * chained into one task a slot, at least once. Runs until it is killed.
 */
public final class Job {
  public static void main(String[] a) throws Exception {
    String bootstrap = a[0], topic = a[2], group = a[3], model = a[4];
    String jdbc = Jdbc.url(a[1], "reWriteBatchedInserts=true", "stringtype=unspecified"); // unspecified: the event's time goes as the text it is
    int parallel = Integer.getInteger("parallel", 2), batch = Integer.getInteger("batch", 512);

    Configuration conf = new Configuration();
    conf.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
    conf.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, Files.createTempDirectory("checkpoints").toUri().toString());
    conf.set(PipelineOptions.OBJECT_REUSE, true);
    conf.set(PipelineOptions.GENERIC_TYPES, false);
    conf.set(RestOptions.BIND_PORT, "0");
    StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(parallel, conf);
    env.enableCheckpointing(5000, CheckpointingMode.AT_LEAST_ONCE);

    KafkaSource<ConsumerRecord<byte[], byte[]>> source = KafkaSource.<ConsumerRecord<byte[], byte[]>>builder()
        .setBootstrapServers(bootstrap).setTopics(topic).setGroupId(group)
        .setStartingOffsets(OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST))
        .setDeserializer(new Whole())
        .setProperty("commit.offsets.on.checkpoint", "true").setProperty("max.poll.records", "5000")
        .setProperty("fetch.min.bytes", "262144").setProperty("fetch.max.wait.ms", "50").setProperty("max.partition.fetch.bytes", "2097152").setProperty("fetch.max.bytes", "16777216").setProperty("receive.buffer.bytes", "1048576")
        .build();

    JdbcSinkBuilder<Scored> to = JdbcSink.<Scored>builder()
        .withQueryStatement("insert into scored (topic, partition, kafka_offset, key, event_id, event_time, amount, merchant, score) values (1, ?, ?, ?, ?, ?, ?, ?, ?)", (st, r) -> {
          st.setInt(1, r.partition); st.setLong(2, r.offset); st.setString(3, r.key); st.setString(4, r.id); st.setString(5, r.ts); st.setDouble(6, r.amount); st.setString(7, r.merchant); st.setFloat(8, r.score);
        })
        .withExecutionOptions(JdbcExecutionOptions.builder().withBatchSize(Integer.getInteger("sinkbatch", 1000)).withBatchIntervalMs(200).withMaxRetries(3).build());
    JdbcSink<Scored> sink = to.buildAtLeastOnce(new JdbcConnectionOptions.JdbcConnectionOptionsBuilder().withUrl(jdbc).withDriverName("org.postgresql.Driver").build());

    SingleOutputStreamOperator<Scored> scored = env.fromSource(source, WatermarkStrategy.noWatermarks(), "payments")
        .transform("score", new ByReference<>(Scored.class), new Score(model, batch, 20));
    scored.sinkTo(sink).name("scored");

    env.execute("score payments");
  }

  /** Hands the whole record on: partition, offset and key are needed later. */
  static final class Whole implements KafkaRecordDeserializationSchema<ConsumerRecord<byte[], byte[]>> {
    public void deserialize(ConsumerRecord<byte[], byte[]> r, Collector<ConsumerRecord<byte[], byte[]>> out) { out.collect(r); }
    @SuppressWarnings({"unchecked", "rawtypes"}) public TypeInformation<ConsumerRecord<byte[], byte[]>> getProducedType() { return (TypeInformation) new ByReference<>(ConsumerRecord.class); }
  }

  static final class Scored { int partition; long offset; String key, id, ts, merchant; double amount; float score; }

  /** Decodes records as they come, runs the model when there are max of them or the oldest is wait ms old, and before every checkpoint barrier, so nothing is in here when a checkpoint is taken and no state is needed. */
  static final class Score extends AbstractStreamOperator<Scored> implements OneInputStreamOperator<ConsumerRecord<byte[], byte[]>, Scored> {
    private final String model; private final int max; private final long wait;
    private transient Scorer scorer; private transient Decoder decoder; private transient Scored[] held; private transient int n; private transient long oldest; private transient boolean timer;
    private transient StreamRecord<Scored> record;
    Score(String model, int max, long wait) { this.model = model; this.max = max; this.wait = wait; }
    @Override public void open() throws Exception { super.open(); scorer = new Scorer(model, max); decoder = new Decoder(true); held = new Scored[max]; record = new StreamRecord<>(null); }
    @Override public void processElement(StreamRecord<ConsumerRecord<byte[], byte[]>> e) throws Exception {
      ConsumerRecord<byte[], byte[]> r = e.getValue();
      decoder.decode(r.value(), 0, r.value().length, scorer.in());
      Scored s = new Scored(); s.partition = r.partition(); s.offset = r.offset(); s.key = r.key() == null ? null : new String(r.key(), StandardCharsets.UTF_8); s.id = decoder.id; s.ts = decoder.ts; s.merchant = decoder.merchant; s.amount = decoder.amount;
      if (n == 0) { oldest = getProcessingTimeService().getCurrentProcessingTime(); if (!timer) { timer = true; getProcessingTimeService().registerTimer(oldest + wait, this::due); } }
      held[n++] = s;
      if (n == max) flush();
    }
    private void due(long now) throws Exception {
      timer = false;
      if (n == 0) return;
      if (now >= oldest + wait) flush(); else { timer = true; getProcessingTimeService().registerTimer(oldest + wait, this::due); }
    }
    private void flush() throws Exception {
      if (n == 0) return;
      scorer.run(n);
      for (int i = 0; i < n; i++) { held[i].score = scorer.out(i); output.collect(record.replace(held[i])); held[i] = null; }
      n = 0;
    }
    @Override public void prepareSnapshotPreBarrier(long id) throws Exception { flush(); }
    @Override public void finish() throws Exception { flush(); super.finish(); }
    @Override public void close() throws Exception { if (scorer != null) scorer.close(); super.close(); }
  }
}
