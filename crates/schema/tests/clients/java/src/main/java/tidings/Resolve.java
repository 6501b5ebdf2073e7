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
 * Resolves pairs of schemas and their payloads with Avro's library for Java.
 *
 * <p>Each request is a line of {"writer": schema, "reader": schema, "payloads": [hex]}. The response
 * says whether the library reports the schemas as compatible, and has an entry for each payload:
 * the payload converted to the reader's schema, or the reason if the library rejects it.
 */
public final class Resolve {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] args) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      out.println(JSON.writeValueAsString(resolve(JSON.readTree(line))));
    }
  }

  private static ObjectNode resolve(JsonNode pair) {
    ObjectNode response = JSON.createObjectNode();
    Schema writer;
    Schema reader;
    try {
      writer = new Schema.Parser().parse(pair.get("writer").toString());
      reader = new Schema.Parser().parse(pair.get("reader").toString());
    } catch (Exception error) {
      return response.put("refused", error.toString());
    }
    try {
      SchemaCompatibility.SchemaPairCompatibility compatibility =
          SchemaCompatibility.checkReaderWriterCompatibility(reader, writer);
      response.put("compatible", compatibility.getType().name());
      ArrayNode reasons = response.putArray("reasons");
      compatibility
          .getResult()
          .getIncompatibilities()
          .forEach(incompatibility -> reasons.add(incompatibility.getType().name()));
    } catch (Exception error) {
      response.put("compatible", "THROWN").putArray("reasons").add(error.toString());
    }
    ArrayNode results = response.putArray("read");
    for (JsonNode payload : pair.get("payloads")) {
      results.add(convert(writer, reader, bytes(payload.asText())));
    }
    return response;
  }

  private static ObjectNode convert(Schema writer, Schema reader, byte[] payload) {
    ObjectNode response = JSON.createObjectNode();
    try {
      BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(payload, null);
      Object value = new GenericDatumReader<Object>(writer, reader).read(null, decoder);
      if (!decoder.isEnd()) {
        return response.put("error", "bytes remain");
      }
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
      new GenericDatumWriter<Object>(reader).write(value, encoder);
      encoder.flush();
      return response.put("value", hex(out.toByteArray()));
    } catch (Exception | StackOverflowError error) {
      return response.put("error", error.toString());
    }
  }

  private static byte[] bytes(String hex) {
    byte[] bytes = new byte[hex.length() / 2];
    for (int index = 0; index < bytes.length; index++) {
      bytes[index] = (byte) Integer.parseInt(hex.substring(2 * index, 2 * index + 2), 16);
    }
    return bytes;
  }

  private static String hex(byte[] bytes) {
    StringBuilder hex = new StringBuilder();
    for (byte value : bytes) {
      hex.append(String.format("%02x", value));
    }
    return hex.toString();
  }
}
