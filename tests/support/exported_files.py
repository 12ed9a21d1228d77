"""Files as named exporters write them, made from sessions and closes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import openpyxl

Rows = Sequence[tuple[date, float]]


@dataclass(frozen=True)
class ExportedFile:
    """One layout: who writes it, how, for which symbol, and with which basis it is read."""

    name: str
    write: Callable[[Rows], bytes]
    symbol: str = "MSFT"
    basis: str = "unknown"
    read_as: str = ""


def english(value: float, places: int = 2) -> str:
    return f"{value:,.{places}f}"


def brazilian(value: float, places: int = 2) -> str:
    return english(value, places).translate(str.maketrans(",.", ".,"))


def indian(value: float) -> str:
    whole, cents = f"{value:.2f}".split(".")
    head, tail = whole[:-3], whole[-3:]
    groups = []
    while len(head) > 2:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return ",".join([*filter(None, [head]), *groups, tail]) + f".{cents}"


def epoch(day: date, per_second: int = 1) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * per_second


def lines(header: str, rows: Sequence[str], *, end: str = "\n") -> bytes:
    return end.join([*filter(None, [header]), *rows, ""]).encode()


def nasdaq(rows: Rows) -> bytes:
    newest_first = [f"{d:%m/%d/%Y},${c:.2f},1000,${c:.2f},${c + 1:.2f},$1.00" for d, c in rows]
    return lines("Date,Close/Last,Volume,Open,High,Low", newest_first[::-1])


def investing_english(rows: Rows) -> bytes:
    cells = [
        f'"{d:%m/%d/%Y}","{english(c)}","1.00","2.00","0.50","23.45M","1.20%"' for d, c in rows
    ]
    return b"\xef\xbb\xbf" + lines(
        '"Date","Price","Open","High","Low","Vol.","Change %"', cells[::-1]
    )


def investing_portuguese(rows: Rows) -> bytes:
    header = '"Data","Último","Abertura","Máxima","Mínima","Vol.","Var%"'
    cells = [
        f'"{d:%d.%m.%Y}","{brazilian(c)}","1,00","2,00","0,50","12,30M","0,10%"' for d, c in rows
    ]
    return lines(header, cells[::-1])


def investing_spanish_of_three_decimals(rows: Rows) -> bytes:
    header = '"Fecha","Último","Apertura","Máximo","Mínimo","Vol.","% var."'
    cells = [f'"{d:%d.%m.%Y}","{c:.3f}","1,0","2,0","0,5","10,36M","-0,08%"' for d, c in rows]
    return lines(header, [cell.replace(".", ",", 3).replace(",", ".", 2) for cell in cells][::-1])


def investing_french(rows: Rows) -> bytes:
    header = '"Date","Dernier","Ouv."," Plus Haut","Plus Bas","Vol.","Variation %"'
    cells = [
        f'"{d:%d/%m/%Y}","{brazilian(c)}","1,00","2,00","0,50","5,52K","4,13%"' for d, c in rows
    ]
    return lines(header, cells[::-1])


def investing_german(rows: Rows) -> bytes:
    header = '"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"'
    cells = [
        f'"{d:%d.%m.%Y}","{brazilian(c)}","1,00","2,00","0,50","5,52K","4,13%"' for d, c in rows
    ]
    return lines(header, cells[::-1])


def alpha_vantage(rows: Rows) -> bytes:
    header = "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient"
    return lines(
        header, [f"{d},1,2,0,{2 * c},{c},1000,0.0000,1.0" for d, c in rows][::-1], end="\r\n"
    )


def coinmarketcap(rows: Rows) -> bytes:
    header = (
        "timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;"
        "circulatingSupply;timestamp"
    )
    cells = [
        f'"{d}T00:00:00.000Z";"{d}T23:59:59.999Z";"{d}T12:00:00.000Z";"{d}T06:00:00.000Z";"2781";'
        f'1;2;0.5;{c};1e9;1e12;19e6;"{d}T23:59:59.999Z"'
        for d, c in rows
    ]
    return b"\xef\xbb\xbf" + lines(header, cells[::-1])


def coingecko(rows: Rows) -> bytes:
    cells = [f"{d} 00:00:00 UTC,{c},1e12,1e9" for d, c in rows]
    return lines("snapped_at,price,market_cap,total_volume", cells)


def barchart(rows: Rows) -> bytes:
    cells = [f'{d},1,2,0,{c},0.1,"+0.10%",1000' for d, c in rows][::-1]
    footer = '"Downloaded from Barchart.com as of 07-01-2022 09:52am CDT"'
    return lines("Time,Open,High,Low,Last,Change,%Chg,Volume", [*cells, footer])


def barchart_latest(rows: Rows) -> bytes:
    cells = [f'"{d:%m/%d/%Y}",1,2,0,{c},0.1,"+0.10%",1000' for d, c in rows][::-1]
    return lines('"Time","Open","High","Low","Latest","Change","%Change","Volume"', cells)


def tradingview(rows: Rows) -> bytes:
    return lines(
        "time,open,high,low,close,Volume", [f"{d}T09:30:00-05:00,1,2,0,{c},1" for d, c in rows]
    )


def tradingview_epochs(rows: Rows) -> bytes:
    return lines("time,open,high,low,close", [f"{epoch(d) + 52200},1,2,0,{c}" for d, c in rows])


def cryptodatadownload(rows: Rows) -> bytes:
    header = "https://www.CryptoDataDownload.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume BTC"
    cells = [f"{epoch(d, 1000)},{d} 00:00:00,BTC-USDT,1,2,0,{c},1" for d, c in rows]
    return lines(header, cells[::-1])


def klines(per_second: int) -> Callable[[Rows], bytes]:
    def write(rows: Rows) -> bytes:
        end = 86400 * per_second - 1
        return lines(
            "",
            [
                f"{epoch(d, per_second)},{c},{c + 1:.2f},{c - 1:.2f},{c},9.0,"
                f"{epoch(d, per_second) + end},100.5,7,1.5,2.5,0"
                for d, c in rows
            ],
        )

    return write


def klines_zipped(rows: Rows) -> bytes:
    return zipped({"BTCUSDT-1d-2022-01.csv": klines(1000)(rows)})


def profitchart(rows: Rows) -> bytes:
    header = "Ativo;Data;Abertura;Máximo;Mínimo;Fechamento;Volume;Quantidade"
    cells = [
        f"{symbol};{d:%d/%m/%Y};1,00;2,00;0,50;{brazilian(factor * c)};1.000.000,00;1000"
        for symbol, factor in (("PETR4", 2), ("VALE3", 1))
        for d, c in rows[::-1]
    ]
    return lines(header, cells).decode().encode("latin-1")


def metatrader(rows: Rows) -> bytes:
    header = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"
    cells = [f"{d:%Y.%m.%d}\t00:00:00\t1\t2\t0\t{c:.3f}\t5\t0\t1" for d, c in rows]
    return lines(header, cells, end="\r\n")


def metatrader_4(rows: Rows) -> bytes:
    return lines("", [f"{d:%Y.%m.%d},00:00,{c},{c + 1:.2f},{c - 1:.2f},{c},55" for d, c in rows])


def nse(rows: Rows) -> bytes:
    header = "Date ,series ,OPEN ,HIGH ,LOW ,PREV. CLOSE ,ltp ,close ,vwap ,VOLUME ,VALUE "
    cells = [
        f'{d:%d-%b-%Y},EQ,"{indian(c)}","{indian(c + 9)}","1.00","7.00","{indian(c + 5)}",'
        f'"{indian(c)}","{indian(c)}","12,34,567","1,23,45,678.90"'
        for d, c in rows
    ]
    return lines(header, cells[::-1])


def fred(rows: Rows) -> bytes:
    cells = [f"{d},{c}" for d, c in rows]
    return lines("observation_date,DEXBZUS", sorted([*cells, "2022-01-17,."]))


def kaggle(rows: Rows) -> bytes:
    cells = [f"{d},1,2,0,{f * c},1,{s}" for s, f in (("AAL", 2), ("MSFT", 1)) for d, c in rows]
    return lines("date,open,high,low,close,volume,Name", cells)


def nixtla(rows: Rows) -> bytes:
    return lines(
        "unique_id,ds,y", [f"{s},{d},{f * c}" for s, f in (("MSFT", 1), ("A", 3)) for d, c in rows]
    )


def stooq(rows: Rows) -> bytes:
    header = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
    return lines(header, [f"MSFT,D,{d:%Y%m%d},000000,1,2,0,{c},5,0" for d, c in rows], end="\r\n")


def yahoo_page(rows: Rows) -> bytes:
    header = "Date,Open,High,Low,Close,Adj Close,Volume"
    return lines(header, [f"{d},1,2,0,{2 * c},{c},5" for d, c in rows])


def german(rows: Rows) -> bytes:
    return lines("Datum;Schlusskurs", [f"{d:%d.%m.%Y};{brazilian(c)}" for d, c in rows])


def swiss(rows: Rows) -> bytes:
    cells = [f"{d:%d.%m.%Y};{english(1000 * c).replace(',', chr(0x2019))}" for d, c in rows]
    return lines("Datum;Schluss", cells)


def spanish(rows: Rows) -> bytes:
    return lines("Fecha|Cierre", [f"{d:%d/%m/%Y}|{brazilian(c)}" for d, c in rows])


def french(rows: Rows) -> bytes:
    cells = [
        f"{d:%d/%m/%Y};{english(1000 * c).replace(',', chr(0x202F)).replace('.', ',')}"
        for d, c in rows
    ]
    return lines("Date;Clôture", cells)


def b3_quotations(rows: Rows) -> bytes:
    header = "Status do Arquivo: Final\nRptDt;TckrSymb;ISIN;MinPric;MaxPric;TradAvrgPric;LastPric"
    return lines(header, [f"{d};VALE3;BR;1,00;2,00;1,50;{brazilian(c)}" for d, c in rows])


def quantmod(rows: Rows) -> bytes:
    header = '"","MSFT.Open","MSFT.High","MSFT.Low","MSFT.Close","MSFT.Volume","MSFT.Adjusted"'
    return lines(header, [f'"{d}",1,2,0,{2 * c},7,{c}' for d, c in rows])


def cotahist_line(day: date, paper: str, close: float, market: str = "010", quoted: int = 1) -> str:
    cents = round(close * 100)
    line = f"01{day:%Y%m%d}02{paper:<12}{market}{'VALE':<12}{'ON':<10}{'':3}R$  "
    line += "".join(f"{value:013d}" for value in (cents, cents, cents, cents, cents, 0, 0))
    line += f"{17:05d}{100:018d}{100:018d}{0:013d}0{'99991231'}{quoted:07d}{0:013d}BRVALEACNOR0101"
    return line


def cotahist(rows: Rows) -> bytes:
    body = [
        cotahist_line(day, paper, factor * close, market)
        for day, close in rows
        for paper, factor, market in (
            ("PETR4", 3, "010"),
            ("VALE3", 1, "010"),
            ("VALE3T", 1, "030"),
        )
    ]
    whole = ["00COTAHIST.2022BOVESPA 20221230".ljust(245), *body, "99COTAHIST.2022".ljust(245)]
    assert {len(line) for line in whole} == {245}
    return lines("", whole, end="\r\n")


def freqtrade(rows: Rows) -> bytes:
    return json.dumps([[epoch(d, 1000), c, c + 1, c - 1, c, 10.5] for d, c in rows]).encode()


def json_records(rows: Rows) -> bytes:
    return json.dumps(
        {"symbol": "MSFT", "data": [{"date": f"{d}", "close": c} for d, c in rows]}
    ).encode()


def coingecko_prices(rows: Rows) -> bytes:
    pairs = [[epoch(d, 1000), c] for d, c in rows]
    return json.dumps({"prices": pairs, "market_caps": pairs, "total_volumes": pairs}).encode()


def excel(rows: Rows) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Closes of my bank"])
    sheet.append([])
    sheet.append(["Date", "Close"])
    for day, close in rows:
        sheet.append([datetime(day.year, day.month, day.day), close])
    book.create_sheet("Notes").append(["nothing here"])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def excel_text(rows: Rows) -> bytes:
    cells = [f"{d:%d/%m/%Y}\t{brazilian(c)}" for d, c in rows]
    return lines("Data\tFechamento", cells, end="\r\n").decode().encode("utf-16")


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


EXPORTED = [
    ExportedFile("nasdaq", nasdaq, read_as="Nasdaq, newest first"),
    ExportedFile("investing_en", investing_english, read_as="Investing.com, English, newest first"),
    ExportedFile(
        "investing_pt",
        investing_portuguese,
        "PETR4",
        read_as="Investing.com, Portuguese, newest first",
    ),
    ExportedFile(
        "investing_es",
        investing_spanish_of_three_decimals,
        "SAN.MC",
        read_as="Investing.com, Spanish, newest first",
    ),
    ExportedFile("investing_fr", investing_french, "AIR.PA", read_as="Investing.com, French"),
    ExportedFile("investing_de", investing_german, "SAP.DE", read_as="Investing.com, German"),
    ExportedFile("alpha_vantage", alpha_vantage, basis="adjusted", read_as="Alpha Vantage, newest"),
    ExportedFile("coinmarketcap", coinmarketcap, "BTC-USD", read_as="CoinMarketCap, newest first"),
    ExportedFile("coingecko", coingecko, "BTC-USD", read_as="CoinGecko, oldest first"),
    ExportedFile("barchart", barchart, read_as="Barchart, newest first"),
    ExportedFile("barchart_latest", barchart_latest, read_as="Barchart, newest first"),
    ExportedFile("tradingview", tradingview, read_as="TradingView, oldest first"),
    ExportedFile("tradingview_epochs", tradingview_epochs, read_as="TradingView, oldest first"),
    ExportedFile(
        "cryptodatadownload", cryptodatadownload, "BTC-USDT", read_as="CryptoDataDownload"
    ),
    ExportedFile("klines_ms", klines(1000), "BTC-USD", read_as="Binance klines, without labels"),
    ExportedFile("klines_us", klines(10**6), "BTC-USD", read_as="Binance klines, without labels"),
    ExportedFile("klines_zip", klines_zipped, "BTC-USD", read_as="Binance klines"),
    ExportedFile("profitchart", profitchart, "VALE3", read_as="ProfitChart, newest first"),
    ExportedFile("metatrader", metatrader, read_as="MetaTrader, oldest first"),
    ExportedFile("metatrader_4", metatrader_4, read_as="MetaTrader 4, without labels"),
    ExportedFile("nse", nse, read_as="NSE, newest first"),
    ExportedFile("fred", fred, read_as="FRED, oldest first"),
    ExportedFile("kaggle", kaggle, read_as="Kaggle, oldest first"),
    ExportedFile("nixtla", nixtla, read_as="Nixtla, oldest first"),
    ExportedFile("stooq", stooq, read_as="stooq, oldest first"),
    ExportedFile("yahoo_page", yahoo_page, basis="adjusted", read_as="Yahoo, oldest first"),
    ExportedFile("german", german, "SAP.DE", read_as="German, oldest first"),
    ExportedFile("spanish", spanish, "SAN.MC", read_as="Spanish, oldest first"),
    ExportedFile("b3", b3_quotations, "VALE3", read_as="B3, oldest first"),
    ExportedFile("quantmod", quantmod, basis="adjusted", read_as="'Adjusted MSFT', oldest first"),
    ExportedFile("cotahist", cotahist, "VALE3", "raw", read_as="COTAHIST (B3), oldest first"),
    ExportedFile("freqtrade", freqtrade, "BTC-USD", read_as="candles"),
    ExportedFile("json_records", json_records, read_as="JSON"),
    ExportedFile("coingecko_prices", coingecko_prices, "BTC-USD", read_as="columns time, price"),
    ExportedFile("excel", excel, read_as="Excel"),
    ExportedFile("excel_text", excel_text, "PETR4", read_as="UTF-16, tabs"),
]
