package tidings;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.List;

/** The status of a refused call, with the details in its trailers. */
record Refusal(Status.Code code, String message, List<Any> details) {
  /** Makes a call that must be refused. */
  static Refusal of(Runnable call) {
    try {
      call.run();
    } catch (StatusRuntimeException refused) {
      com.google.rpc.Status status = StatusProto.fromThrowable(refused);
      return new Refusal(
          refused.getStatus().getCode(), status.getMessage(), status.getDetailsList());
    }
    throw new AssertionError("the call was not refused");
  }

  ErrorInfo info() throws InvalidProtocolBufferException {
    return detail(ErrorInfo.class);
  }

  <T extends Message> T detail(Class<T> type) throws InvalidProtocolBufferException {
    for (Any detail : details) {
      if (detail.is(type)) {
        return detail.unpack(type);
      }
    }
    throw new AssertionError("no " + type.getSimpleName() + " in " + code + ": " + message);
  }
}
