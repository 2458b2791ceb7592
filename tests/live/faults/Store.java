import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.Security;
import java.util.concurrent.Executors;

/** A store of one value over HTTP, which is on the disk before its writer hears of it. */
public class Store {
    static final Path FILE = Path.of("data");
    static volatile byte[] value = new byte[0];
    static FileChannel file;

    public static void main(String[] arguments) throws Exception {
        // What is resolved is asked for each time.
        Security.setProperty("networkaddress.cache.ttl", "0");
        Security.setProperty("networkaddress.cache.negative.ttl", "0");
        if (Files.exists(FILE)) {
            value = Files.readAllBytes(FILE);
        }
        file = FileChannel.open(FILE, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        HttpServer server = HttpServer.create(new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1])), 50);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/ping", exchange -> answer(exchange, 200, "pong".getBytes()));
        server.createContext("/time", exchange ->
            answer(exchange, 200, (System.currentTimeMillis() * 1000 + " " + System.nanoTime() / 1000).getBytes()));
        server.createContext("/resolve", exchange -> {
            try {
                answer(exchange, 200, InetAddress.getByName("node-0").getHostAddress().getBytes());
            } catch (IOException error) {
                answer(exchange, 500, error.getClass().getSimpleName().getBytes());
            }
        });
        server.createContext("/get", exchange -> answer(exchange, 200, value));
        server.createContext("/put", exchange -> {
            byte[] given = exchange.getRequestBody().readAllBytes();
            try {
                store(given);
                answer(exchange, 200, "stored".getBytes());
            } catch (IOException error) {
                answer(exchange, 500, error.getMessage().getBytes());
            }
        });
        server.start();
        System.out.println("serving");
    }

    static synchronized void store(byte[] given) throws IOException {
        file.truncate(given.length);
        int count = file.write(ByteBuffer.wrap(given), 0);
        file.force(false);
        if (count < given.length) {
            throw new IOException("wrote " + count + " of " + given.length + " bytes");
        }
        value = given;
    }

    static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        exchange.getRequestBody().readAllBytes();
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
