package tidings;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * Answers lines of {"writer": schema, "reader": schema, "payloads": [hex]} with whether the library calls the
 * schemas compatible, and every payload as the reader would write it again, or why it could not be read.
 */
public final class Resolve {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] none) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      out.println(JSON.writeValueAsString(resolve(JSON.readTree(line))));
    }
  }

  private static ObjectNode resolve(JsonNode pair) {
    ObjectNode answer = JSON.createObjectNode();
    Schema writer;
    Schema reader;
    try {
      writer = new Schema.Parser().parse(pair.get("writer").toString());
      reader = new Schema.Parser().parse(pair.get("reader").toString());
    } catch (Exception refused) {
      return answer.put("refused", refused.toString());
    }
    try {
      SchemaCompatibility.SchemaPairCompatibility found =
          SchemaCompatibility.checkReaderWriterCompatibility(reader, writer);
      answer.put("compatible", found.getType().name());
      ArrayNode reasons = answer.putArray("reasons");
      found.getResult().getIncompatibilities().forEach(it -> reasons.add(it.getType().name()));
    } catch (Exception thrown) {
      answer.put("compatible", "THROWN").putArray("reasons").add(thrown.toString());
    }
    ArrayNode read = answer.putArray("read");
    for (JsonNode payload : pair.get("payloads")) {
      read.add(convert(writer, reader, bytes(payload.asText())));
    }
    return answer;
  }

  private static ObjectNode convert(Schema writer, Schema reader, byte[] payload) {
    ObjectNode answer = JSON.createObjectNode();
    try {
      BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(payload, null);
      Object value = new GenericDatumReader<Object>(writer, reader).read(null, decoder);
      if (!decoder.isEnd()) {
        return answer.put("error", "bytes are left");
      }
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
      new GenericDatumWriter<Object>(reader).write(value, encoder);
      encoder.flush();
      return answer.put("value", hex(out.toByteArray()));
    } catch (Exception | StackOverflowError thrown) {
      return answer.put("error", thrown.toString());
    }
  }

  private static byte[] bytes(String hex) {
    byte[] bytes = new byte[hex.length() / 2];
    for (int at = 0; at < bytes.length; at++) {
      bytes[at] = (byte) Integer.parseInt(hex.substring(2 * at, 2 * at + 2), 16);
    }
    return bytes;
  }

  private static String hex(byte[] bytes) {
    StringBuilder hex = new StringBuilder();
    for (byte it : bytes) {
      hex.append(String.format("%02x", it));
    }
    return hex.toString();
  }
}
