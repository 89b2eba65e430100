package peer;

import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.postgresql.PGConnection;
import org.postgresql.copy.*;

/**
 * Kafka to ONNX Runtime to Postgres in plain Java: each thread polls, decodes and scores in small batches while a binary COPY is
 * open, ends the COPY (which commits), then commits the offsets. Runs until it is killed.
 */
public final class Plain {
  static final int THREADS = Integer.getInteger("threads", 2), BATCH = Integer.getInteger("batch", 512), POLL = Integer.getInteger("poll", 5000);
  static final byte[] HEADER = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', (byte) 0xff, '\r', '\n', 0, 0, 0, 0, 0, 0, 0, 0, 0}, TRAILER = {-1, -1};
  static final String COPY = "copy scored (topic, partition, kafka_offset, key, event_id, event_time, amount, merchant, score) from stdin (format binary)";

  public static void main(String[] a) throws Exception {
    String bootstrap = a[0], pg = Jdbc.url(a[1]), topic = a[2], group = a[3], model = a[4];
    for (int i = 0; i < THREADS; i++)
      new Thread(() -> { try { work(bootstrap, pg, topic, group, model); } catch (Throwable e) { e.printStackTrace(); Runtime.getRuntime().halt(1); } }, "worker-" + i).start();
  }

  static void work(String bootstrap, String pg, String topic, String group, String model) throws Exception {
    Properties p = new Properties();
    p.put("bootstrap.servers", bootstrap); p.put("group.id", group); p.put("enable.auto.commit", "false"); p.put("auto.offset.reset", "earliest");
    p.put("group.protocol", System.getProperty("protocol", "classic"));
    p.put("max.poll.records", POLL); p.put("fetch.min.bytes", Integer.getInteger("fetchmin", 262144)); p.put("fetch.max.wait.ms", 50);
    p.put("max.partition.fetch.bytes", Integer.getInteger("partfetch", 1 << 20)); p.put("fetch.max.bytes", Integer.getInteger("fetchmax", 16 << 20)); p.put("receive.buffer.bytes", 1 << 20);
    p.put("enable.metrics.push", "false");
    try (KafkaConsumer<byte[], byte[]> c = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        Connection con = DriverManager.getConnection(pg); Scorer model1 = new Scorer(model, BATCH)) {
      CopyManager copy = con.unwrap(PGConnection.class).getCopyAPI();
      Decoder d = new Decoder(false); Rows rows = new Rows();
      double[] amount = new double[BATCH]; long[] micros = new long[BATCH]; String[] id = new String[BATCH], merchant = new String[BATCH];
      List<ConsumerRecord<byte[], byte[]>> part = new ArrayList<>(BATCH);
      Map<TopicPartition, OffsetAndMetadata> written = new HashMap<>();
      c.subscribe(List.of(topic), new ConsumerRebalanceListener() {
        public void onPartitionsRevoked(Collection<TopicPartition> ps) { // everything polled so far is in the table: say so before another member takes over
          Map<TopicPartition, OffsetAndMetadata> m = new HashMap<>(written); m.keySet().retainAll(ps);
          if (!m.isEmpty()) c.commitSync(m);
          written.keySet().removeAll(ps);
        }
        public void onPartitionsAssigned(Collection<TopicPartition> ps) {}
        public void onPartitionsLost(Collection<TopicPartition> ps) { written.keySet().removeAll(ps); }
      });
      while (true) {
        ConsumerRecords<byte[], byte[]> rs = c.poll(Duration.ofMillis(100));
        if (rs.isEmpty()) continue;
        CopyIn in = copy.copyIn(COPY); rows.begin(in);
        try {
          Iterator<ConsumerRecord<byte[], byte[]>> it = rs.iterator();
          while (it.hasNext()) {
            part.clear();
            for (int i = 0; i < BATCH && it.hasNext(); i++) {
              ConsumerRecord<byte[], byte[]> r = it.next(); part.add(r);
              d.decode(r.value(), 0, r.value().length, model1.in());
              amount[i] = d.amount; micros[i] = d.micros; id[i] = d.id; merchant[i] = d.merchant;
            }
            int n = part.size(); model1.run(n);
            for (int i = 0; i < n; i++) { ConsumerRecord<byte[], byte[]> r = part.get(i); rows.row(r.partition(), r.offset(), r.key(), id[i], micros[i], amount[i], merchant[i], model1.out(i)); }
            rows.send();
          }
          rows.end();
        } finally { if (in.isActive()) in.cancelCopy(); }
        Map<TopicPartition, OffsetAndMetadata> next = rs.nextOffsets(); written.putAll(next);
        c.commitAsync(next, null);
      }
    }
  }

  /** Rows of the table in COPY's binary format, sent in pieces. */
  static final class Rows {
    private byte[] b = new byte[1 << 17]; private int n; private CopyIn in;
    void begin(CopyIn c) { in = c; n = 0; bytes(HEADER); }
    void row(int partition, long offset, byte[] key, String id, long micros, double amount, String merchant, float score) throws SQLException {
      if (n + 256 + (key == null ? 0 : key.length) + 3 * (id.length() + merchant.length()) > b.length) send(256 + (key == null ? 0 : key.length) + 3 * (id.length() + merchant.length()));
      i2(9); i4(2); i2(1); i4(4); i4(partition); i4(8); i8(offset);
      if (key == null) i4(-1); else { i4(key.length); bytes(key); }
      text(id); i4(8); i8(micros - 946_684_800_000_000L); i4(8); i8(Double.doubleToRawLongBits(amount)); text(merchant); i4(4); i4(Float.floatToRawIntBits(score));
    }
    void send() throws SQLException { if (n > 0) in.writeToCopy(b, 0, n); n = 0; }
    private void send(int need) throws SQLException { send(); if (need > b.length) b = new byte[need]; }
    long end() throws SQLException { bytes(TRAILER); send(); return in.endCopy(); }
    private void text(String s) { byte[] x = s.getBytes(StandardCharsets.UTF_8); i4(x.length); bytes(x); }
    private void bytes(byte[] x) { System.arraycopy(x, 0, b, n, x.length); n += x.length; }
    private static final java.lang.invoke.VarHandle I2 = java.lang.invoke.MethodHandles.byteArrayViewVarHandle(short[].class, java.nio.ByteOrder.BIG_ENDIAN),
        I4 = java.lang.invoke.MethodHandles.byteArrayViewVarHandle(int[].class, java.nio.ByteOrder.BIG_ENDIAN), I8 = java.lang.invoke.MethodHandles.byteArrayViewVarHandle(long[].class, java.nio.ByteOrder.BIG_ENDIAN);
    private void i2(int v) { I2.set(b, n, (short) v); n += 2; }
    private void i4(int v) { I4.set(b, n, v); n += 4; }
    private void i8(long v) { I8.set(b, n, v); n += 8; }
  }
}
