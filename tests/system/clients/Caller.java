import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Java's own client as it is by default: it offers an upgrade to HTTP/2 with each request. */
public class Caller {
  public static void main(String[] arguments) throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    for (int i = 1; i < arguments.length; i += 2) {
      HttpRequest request =
          HttpRequest.newBuilder(URI.create(arguments[0] + arguments[i]))
              .header("content-type", "application/json")
              .POST(HttpRequest.BodyPublishers.ofString(arguments[i + 1]))
              .build();
      HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
      System.out.println(answer.statusCode() + " " + answer.body());
    }
  }
}
